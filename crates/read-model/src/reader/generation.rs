//! Looking at one generation, visible or not, key by key: for `verify`, `show`, the sweep and the comparison
//! before a swap.

use ledger::{AccountId, OwnerId, Shard};
use redis::{FromRedisValue as _, Pipeline, RedisError, Value};

use super::Reader;
use crate::{Checkpoint, Error, Generation, GenerationKeys, Place, View};

/// How many keys Redis looks at per step of a scan: all keys of the server, ours or not. A step takes well below a millisecond.
const SCAN_COUNT: usize = 1000;

/// A place in a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanCursor(u64);

impl ScanCursor {
    /// The beginning.
    pub const START: Self = Self(0);
}

/// One step of a scan. It finds every key that is there from the scan's beginning to its end; some of them twice.
#[derive(Debug, Clone)]
pub struct ScanPage {
    /// Names that were found.
    pub names: Vec<Name>,
    /// Where to go on; `None` at the end.
    pub next: Option<ScanCursor>,
}

/// The name of a key within its generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// Which prefix of the log the generation includes.
    Checkpoint,
    /// How far values are ahead of that while the generation is built.
    Filling,
    /// An account.
    Account(AccountId),
    /// An owner's account ids.
    Owner(OwnerId),
    /// How far a statement goes, and its newest entry.
    Header(AccountId),
    /// A block of a statement.
    Block(AccountId, i64),
    /// A part of the transaction index.
    Transactions(i64),
    /// A part of the ids of accounts by their numbers.
    Numbers(i64),
    /// The trial balance.
    Totals,
}

impl View {
    /// All names that a generation of the view can have beside its checkpoint and filling, if they are few: then nobody has to
    /// look through all keys of Redis for them.
    fn only_names(self) -> Option<Vec<Name>> {
        match self {
            Self::Totals => Some(vec![Name::Totals]),
            Self::Accounts | Self::Transactions => None,
        }
    }
}

impl Name {
    /// Reads the name of a key of a view; `None` for a key that the view does not have.
    fn parse(view: View, name: &str) -> Option<Self> {
        let account = |id: &str| AccountId::new(id).ok();
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| n.to_string() == text);
        match (view, name.split_once(':')) {
            (_, None) if name == "checkpoint" => Some(Self::Checkpoint),
            (_, None) if name == "filling" => Some(Self::Filling),
            (View::Totals, None) if name == "t" => Some(Self::Totals),
            (View::Accounts, Some(("a", id))) => account(id).map(Self::Account),
            (View::Accounts, Some(("o", id))) => OwnerId::new(id).ok().map(Self::Owner),
            (View::Transactions, Some(("h", id))) => account(id).map(Self::Header),
            (View::Transactions, Some(("t", part))) => number(part).map(Self::Transactions),
            (View::Transactions, Some(("n", part))) => number(part).map(Self::Numbers),
            (View::Transactions, Some(("b", rest))) => {
                let (id, block) = rest.rsplit_once(':')?;
                Some(Self::Block(account(id)?, number(block)?))
            }
            _ => None,
        }
    }

    /// The type of its key, as Redis names it.
    #[must_use]
    pub fn key_type(&self) -> &'static str {
        match self {
            Self::Owner(_) => "zset",
            Self::Block(..) | Self::Numbers(_) => "hash",
            Self::Checkpoint
            | Self::Filling
            | Self::Account(_)
            | Self::Header(_)
            | Self::Transactions(_)
            | Self::Totals => "string",
        }
    }

    /// The whole key.
    #[must_use]
    pub fn key(&self, keys: &GenerationKeys) -> String {
        match self {
            Self::Checkpoint => keys.checkpoint(),
            Self::Filling => keys.filling(),
            Self::Account(id) => keys.account(id),
            Self::Owner(id) => keys.owner(id),
            Self::Header(id) => keys.header(id),
            Self::Block(id, block) => keys.numbered_block(id, *block),
            Self::Transactions(part) => keys.transactions_part(*part),
            Self::Numbers(part) => keys.numbers_part(*part),
            Self::Totals => keys.totals(),
        }
    }
}

/// Some places of a generation and its checkpoint, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What the generation included; `None` when its checkpoint is missing or cannot be read.
    pub checkpoint: Option<Checkpoint>,
    /// What the places held, in the order asked for; `None` is nothing. A member of a set has no bytes of its own, but
    /// for a score that it should not have.
    pub values: Vec<Option<Vec<u8>>>,
}

/// All fields of a hash, and what was observed with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFields {
    /// The places asked for, and the checkpoint.
    pub observed: Observed,
    /// The fields, in any order.
    pub fields: Vec<(i64, Vec<u8>)>,
    /// Those whose name is no number as we spell it, so that nothing of ours has it.
    pub strays: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One step through the names of two generations of a view.
#[derive(Debug, Clone)]
pub struct ScannedPair {
    /// Names that the one has.
    pub ours: Vec<Name>,
    /// Names that the other has.
    pub theirs: Vec<Name>,
    /// Where to go on; `None` at the end.
    pub next: Option<ScanCursor>,
}

/// One generation of a view on a shard.
#[derive(Clone)]
pub struct StoredGeneration {
    reader: Reader,
    view: View,
    shard: Shard,
    generation: Generation,
    keys: GenerationKeys,
}

impl Reader {
    /// Looks at one generation, whether queries see it or not.
    #[must_use]
    pub fn generation(&self, view: View, shard: Shard, generation: Generation) -> StoredGeneration {
        let keys = self.keys.view(view, shard).generation(generation);
        StoredGeneration { reader: self.clone(), view, shard, generation, keys }
    }
}

impl StoredGeneration {
    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &GenerationKeys {
        &self.keys
    }

    /// Its view.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// Its shard.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// What some places hold, together with the checkpoint, in one atomic step.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn observe(&self, places: &[Place]) -> Result<Observed, Error> {
        let mut pipeline = redis::pipe();
        self.ask(pipeline.atomic(), places);
        let values = self.look("look at a generation", &mut pipeline).await?;
        Ok(observed(places, values))
    }

    /// All fields of a block of a statement or of some accounts' ids, with some places and the checkpoint.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn fields(&self, places: &[Place], name: &Name) -> Result<StoredFields, Error> {
        let mut pipeline = redis::pipe();
        self.ask(pipeline.atomic(), places);
        pipeline.cmd("HGETALL").arg(name.key(&self.keys));
        let mut values = self.look("look at a hash", &mut pipeline).await?;
        let hash = values.pop().unwrap_or(Value::Nil);
        let all = Vec::<(Vec<u8>, Vec<u8>)>::from_redis_value(hash)
            .map_err(|error| Error::redis("look at a hash", error.into()))?;
        let (mut fields, mut strays) = (Vec::new(), Vec::new());
        for (field, value) in all {
            match field_number(&field) {
                Some(number) => fields.push((number, value)),
                None => strays.push((field, value)),
            }
        }
        Ok(StoredFields { fields, strays, observed: observed(places, values) })
    }

    /// The account ids of an owner, as they are stored.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn members(&self, owner: &OwnerId) -> Result<Vec<Vec<u8>>, Error> {
        let doing = "look at an owner";
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZRANGE").arg(self.keys.owner(owner)).arg(0).arg(-1);
        let members = self.look(doing, &mut pipeline).await?.pop().unwrap_or(Value::Nil);
        Vec::from_redis_value(members).map_err(|error| Error::redis(doing, error.into()))
    }

    /// A key of another type than ours reads as missing: whatever it holds, it is not what should be there.
    async fn look(
        &self,
        doing: &'static str,
        pipeline: &mut Pipeline,
    ) -> Result<Vec<Value>, Error> {
        pipeline.ignore_errors();
        let answers: Vec<Result<Value, RedisError>> =
            self.reader.connection.pipeline(doing, pipeline).await?;
        let answers = answers.into_iter().map(|answer| match answer {
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(Value::Nil),
            answer => answer.map_err(|error| Error::redis(doing, error)),
        });
        answers.collect()
    }

    fn ask(&self, pipeline: &mut Pipeline, places: &[Place]) {
        pipeline.cmd("GET").arg(self.keys.checkpoint());
        for place in places {
            match place {
                Place::Text { key } => pipeline.cmd("GET").arg(key),
                Place::Field { key, field } => pipeline.cmd("HGET").arg(key).arg(field),
                Place::Range { key, start, length } => pipeline
                    .cmd("GETRANGE")
                    .arg(key)
                    .arg(*start)
                    .arg((start + length).saturating_sub(1)),
                Place::Member { key, member } => pipeline.cmd("ZSCORE").arg(key).arg(member),
                Place::Hash { key } => pipeline.cmd("HLEN").arg(key),
                Place::Stray { key, name } => pipeline.cmd("HGET").arg(key).arg(name),
                Place::WrongType { key, .. } => pipeline.cmd("TYPE").arg(key),
            };
        }
    }

    /// One step through the names of all keys. Names that this view does not have are left out and counted as
    /// foreign by nobody: nothing reads them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn scan(&self, cursor: ScanCursor) -> Result<ScanPage, Error> {
        if let Some(names) = self.view.only_names() {
            return Ok(ScanPage { names, next: None });
        }
        let (next, keys) = scan_step(&self.reader.connection, &self.keys.pattern(), cursor).await?;
        let parsed = keys.iter().filter_map(|key| {
            let (_, view, _, name) = self.reader.keys.parse(key)?;
            Name::parse(view, name)
        });
        Ok(ScanPage { names: parsed.collect(), next })
    }

    /// One step through the names of the keys of this generation and of another one of the same view.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn scan_with(&self, other: &Self, cursor: ScanCursor) -> Result<ScannedPair, Error> {
        if let Some(names) = self.view.only_names() {
            return Ok(ScannedPair { ours: names.clone(), theirs: names, next: None });
        }
        let pattern = format!("{}*", self.reader.keys.view(self.view, self.shard).base());
        let (next, keys) = scan_step(&self.reader.connection, &pattern, cursor).await?;
        let mut scanned = ScannedPair { ours: Vec::new(), theirs: Vec::new(), next };
        for key in &keys {
            let Some((_, view, generation, name)) = self.reader.keys.parse(key) else { continue };
            let Some(name) = Name::parse(view, name) else { continue };
            if matches!(name, Name::Checkpoint | Name::Filling) {
                continue; // each generation has its own
            }
            if generation == self.generation {
                scanned.ours.push(name);
            } else if generation == other.generation {
                scanned.theirs.push(name);
            }
        }
        Ok(scanned)
    }

    /// Whether all of the named keys are there.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_all(&self, names: &[Name]) -> Result<bool, Error> {
        if names.is_empty() {
            return Ok(true);
        }
        let mut exists = redis::cmd("EXISTS");
        names.iter().for_each(|name| _ = exists.arg(name.key(&self.keys)));
        let there: usize = self.reader.connection.command("look for keys", &exists).await?;
        Ok(there == names.len())
    }

    /// Which of the named keys differ from those of another generation, and both checkpoints at that moment. A
    /// difference between two generations that stand at different checkpoints says nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn differing(
        &self,
        other: &Self,
        names: &[Name],
    ) -> Result<(Vec<Name>, [Option<Checkpoint>; 2]), Error> {
        let (texts, others): (Vec<&Name>, Vec<&Name>) =
            names.iter().partition(|name| is_text(name));
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for keys in [&self.keys, &other.keys] {
            // A key of another type reads as missing here too.
            let get = pipeline.cmd("MGET").arg(keys.checkpoint());
            texts.iter().for_each(|name| _ = get.arg(name.key(keys)));
            others.iter().for_each(|name| read_whole(&mut pipeline, name, keys));
        }
        let mut values = self.look("compare two generations", &mut pipeline).await?;
        let theirs = values.split_off(values.len() / 2);
        let (our_checkpoint, ours) = flat(values);
        let (their_checkpoint, theirs) = flat(theirs);
        let pairs = ours.iter().zip(&theirs).zip(texts.into_iter().chain(others));
        let differing = pairs.filter(|((a, b), _)| !is_same(a, b));
        let differing = differing.map(|(_, name)| name.clone()).collect();
        let checkpoints = [our_checkpoint, their_checkpoint];
        let checkpoints = checkpoints.map(|value| Checkpoint::decode(&value.and_then(bytes)?).ok());
        Ok((differing, checkpoints))
    }
}

/// One step through all keys that match.
pub(crate) async fn scan_step(
    connection: &crate::connection::Connection,
    pattern: &str,
    cursor: ScanCursor,
) -> Result<(Option<ScanCursor>, Vec<String>), Error> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor.0).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_COUNT);
    let (next, keys): (u64, Vec<Vec<u8>>) = connection.command("scan", &scan).await?;
    let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
    Ok(((next != 0).then_some(ScanCursor(next)), keys))
}

fn observed(places: &[Place], values: Vec<Value>) -> Observed {
    let mut values = values.into_iter();
    let checkpoint = values.next().and_then(bytes);
    let values = values.zip(places).map(|(value, place)| match (place, value) {
        (Place::Member { .. }, score) => score_bytes(score),
        (Place::Hash { .. }, Value::Int(0)) => None,
        (Place::Hash { .. }, _) => Some(Vec::new()),
        (Place::WrongType { right, .. }, Value::SimpleString(found)) => {
            (found != *right && found != "none").then(|| found.into_bytes())
        }
        (Place::WrongType { .. }, _) => None,
        (Place::Range { .. }, value) => bytes(value).filter(|bytes| !bytes.is_empty()),
        (Place::Text { .. } | Place::Field { .. } | Place::Stray { .. }, value) => bytes(value),
    });
    Observed {
        checkpoint: checkpoint.and_then(|bytes| Checkpoint::decode(&bytes).ok()),
        values: values.collect(),
    }
}

/// A member's score, where it is not the 0 that all must have: that has no bytes.
fn score_bytes(score: Value) -> Option<Vec<u8>> {
    let score = match score {
        Value::Double(score) => score.to_string().into_bytes(),
        score => bytes(score)?,
    };
    let number = std::str::from_utf8(&score).ok().and_then(|score| score.parse::<f64>().ok());
    Some(if number == Some(0.0) { Vec::new() } else { score })
}

/// A number as we spell it for a field of a hash.
pub(super) fn field_number(field: &[u8]) -> Option<i64> {
    let field = std::str::from_utf8(field).ok()?;
    field.parse::<i64>().ok().filter(|number| number.to_string() == field)
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn is_text(name: &Name) -> bool {
    match name {
        Name::Account(_) | Name::Header(_) | Name::Transactions(_) | Name::Totals => true,
        Name::Checkpoint | Name::Filling | Name::Owner(_) | Name::Block(..) | Name::Numbers(_) => {
            false
        }
    }
}

fn read_whole(pipeline: &mut Pipeline, name: &Name, keys: &GenerationKeys) {
    let key = name.key(keys);
    match name {
        Name::Checkpoint | Name::Filling => pipeline.cmd("EXISTS").arg(key),
        Name::Owner(_) => pipeline.cmd("ZRANGE").arg(key).arg(0).arg(-1),
        Name::Block(..) | Name::Numbers(_) => pipeline.cmd("HGETALL").arg(key),
        Name::Account(_) | Name::Header(_) | Name::Transactions(_) | Name::Totals => {
            pipeline.cmd("GET").arg(key)
        }
    };
}

/// What an MGET of a checkpoint and some texts has brought, and what came after it.
fn flat(values: Vec<Value>) -> (Option<Value>, Vec<Value>) {
    let mut values = values.into_iter();
    let mut first = match values.next() {
        Some(Value::Array(texts)) => texts.into_iter(),
        _ => Vec::new().into_iter(),
    };
    (first.next(), first.chain(values).collect())
}

/// Whether two keys hold the same. The fields of a hash come in any order.
fn is_same(a: &Value, b: &Value) -> bool {
    let pairs = |value: &Value| match value {
        Value::Array(items) => {
            let words = items.iter().map(|item| match item {
                Value::BulkString(bytes) => Some(bytes.clone()),
                _ => None,
            });
            let words: Vec<_> = words.collect();
            let mut pairs: Vec<_> = words.chunks(2).map(<[_]>::to_vec).collect();
            pairs.sort_unstable();
            Some(pairs)
        }
        _ => None,
    };
    a == b || matches!((pairs(a), pairs(b)), (Some(a), Some(b)) if a == b)
}
