//! Running the Lua files: by their hash, and loaded when Redis does not know them (yet, or any more).

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs};

use crate::{
    Error,
    connection::{Connection, asked},
};

/// A Lua file.
pub(crate) struct Script {
    code: &'static str,
    hash: String,
    reads_only: bool,
}

macro_rules! script {
    ($name:ident, $($file:literal)+, $reads_only:literal) => {
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("scripts/", $file))),+), $reads_only)
        });
    };
}

script!(BEGIN, "begin.lua", false);
script!(CLAIM, "claim.lua", false);
script!(COMMIT, "commit.lua", false);
script!(DROP, "drop.lua", false);
script!(FILL, "fill.lua", false);
script!(FORGET, "forget.lua", false);
script!(OWNER, "text.lua" "owner.lua", true);
script!(REPAIR, "repair.lua", false);
script!(STATEMENT, "text.lua" "statement.lua", true);
script!(STATUS, "status.lua", true);
script!(SWAP, "swap.lua", false);
script!(TRANSACTION, "text.lua" "transaction.lua", true);
script!(UNLINK, "unlink.lua", false);

/// A script with its keys and arguments, as it goes to Redis.
pub(crate) struct Invocation {
    script: &'static Script,
    command: Cmd,
}

impl Script {
    fn new(code: &'static str, reads_only: bool) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash, reads_only }
    }

    pub(crate) fn on(&'static self, keys: &[String]) -> Invocation {
        let mut command = redis::cmd(if self.reads_only { "EVALSHA_RO" } else { "EVALSHA" });
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        Invocation { script: self, command }
    }
}

impl Invocation {
    pub(crate) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds an argument in place, for those that have very many.
    pub(crate) fn push(&mut self, argument: impl ToRedisArgs) {
        self.command.arg(argument);
    }

    /// Runs it. A script that Redis does not know has not begun to run, so running it again is safe.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        doing: &'static str,
        connection: &Connection,
    ) -> Result<T, Error> {
        let outcome = match asked(doing, connection.try_command(&self.command)).await {
            Err(error) if is_unknown_script(&error) => {
                self.script.load(connection).await?;
                asked(doing, connection.try_command(&self.command)).await
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
        let mut pipeline = redis::pipe();
        for invocation in invocations {
            pipeline.add_command(invocation.command.clone());
        }
        let outcome = match asked(doing, connection.try_pipeline(&pipeline)).await {
            Err(error) if is_unknown_script(&error) => {
                if let Some(first) = invocations.first() {
                    first.script.load(connection).await?;
                }
                asked(doing, connection.try_pipeline(&pipeline)).await
            }
            outcome => outcome,
        };
        outcome.map_err(|error| Error::redis(doing, error))
    }
}

impl Script {
    async fn load(&self, connection: &Connection) -> Result<(), Error> {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.code);
        connection.command("load a script", &load).await
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
