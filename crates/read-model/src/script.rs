//! Running the Lua files: by their hash, and in full when Redis does not know them (yet, or any more).

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs};

use crate::{Error, connection::Connection};

/// A Lua file.
pub(crate) struct Script {
    code: &'static str,
    hash: String,
    reads_only: bool,
}

macro_rules! script {
    ($name:ident, $file:literal, $reads_only:literal) => {
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file)), $reads_only));
    };
}

script!(BEGIN, "begin.lua", false);
script!(CLAIM, "claim.lua", false);
script!(COMMIT, "commit.lua", false);
script!(DROP, "drop.lua", false);
script!(OWNER, "owner.lua", true);
script!(REPAIR, "repair.lua", false);
script!(STATEMENT, "statement.lua", true);
script!(STATUS, "status.lua", true);
script!(SWAP, "swap.lua", false);
script!(TRANSACTION, "transaction.lua", true);

/// A script with its keys and arguments.
pub(crate) struct Invocation {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Script {
    fn new(code: &'static str, reads_only: bool) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash, reads_only }
    }

    pub(crate) fn on(&'static self, keys: Vec<String>) -> Invocation {
        Invocation { script: self, keys, arguments: Vec::new() }
    }
}

impl Invocation {
    pub(crate) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.arguments.extend(argument.to_redis_args());
        self
    }

    pub(crate) fn args(mut self, arguments: Vec<Vec<u8>>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// Runs it. A script that Redis does not know has not begun to run, so running it again in full is safe.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        doing: &'static str,
        connection: &Connection,
    ) -> Result<T, Error> {
        let outcome = match connection.try_command(&self.by_hash()).await {
            Err(error) if is_unknown_script(&error) => {
                connection.try_command(&self.in_full()).await
            }
            outcome => outcome,
        };
        outcome.map_err(|error| Error::redis(doing, error))
    }

    /// Runs several of the same script in one round trip, each atomic by itself.
    pub(crate) async fn run_all<T: FromRedisValue>(
        invocations: &[Self],
        doing: &'static str,
        connection: &Connection,
    ) -> Result<Vec<T>, Error> {
        let pipeline = |command: fn(&Self) -> Cmd| {
            let mut pipeline = redis::pipe();
            for invocation in invocations {
                pipeline.add_command(command(invocation));
            }
            pipeline
        };
        let outcome = match connection.try_pipeline(&pipeline(Self::by_hash)).await {
            Err(error) if is_unknown_script(&error) => {
                connection.try_pipeline(&pipeline(Self::in_full)).await
            }
            outcome => outcome,
        };
        outcome.map_err(|error| Error::redis(doing, error))
    }

    fn by_hash(&self) -> Cmd {
        let name = if self.script.reads_only { "EVALSHA_RO" } else { "EVALSHA" };
        self.command(name, &self.script.hash)
    }

    fn in_full(&self) -> Cmd {
        let name = if self.script.reads_only { "EVAL_RO" } else { "EVAL" };
        self.command(name, self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
