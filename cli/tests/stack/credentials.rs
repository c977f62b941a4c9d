//! Tokens that end while commands are sent.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use dev_credentials::{TokenIssuer, claims, now};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, Stack, Stores, send_signal, until_the_log_has};

/// Services take a token for so much longer than it says, because clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// A stack whose callers need tokens, and where they lie.
struct Guarded {
    stores: Stores,
    stack: Stack,
    issuer: TokenIssuer,
    folder: TempDir,
}

impl Guarded {
    async fn start() -> Self {
        let (stores, issuer) = (Stores::fresh().await, TokenIssuer::new());
        let stack = Stack::start_with(|command| {
            command
                .env("DATABASE_URL", &stores.database_url)
                .env("REDIS_URL", &stores.redis_url)
                .env("REDIS_KEY_PREFIX", &stores.redis_prefix)
                .env("ACCESS_TOKEN_KEYS_FILE", issuer.keys_file())
                .env("ACCESS_TOKEN_ISSUER", dev_credentials::ISSUER)
                .env("ACCESS_TOKEN_AUDIENCE", dev_credentials::AUDIENCE);
        });
        Self { stores, stack, issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a token into the file, which services take for so many seconds from now on.
    fn renew(&self, seconds: u64) {
        let end = now() + seconds - LEEWAY.as_secs();
        let more = json!({"scope": "write", "accounts": "*", "exp": end});
        let token = self.issuer.sign(&claims("importer", &more));
        fs::write(self.path("new token"), token).unwrap();
        fs::rename(self.path("new token"), self.path("token")).unwrap(); // never half a token
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.stack.command(args);
        command.env("COUNTERFOIL_TOKEN_FILE", self.path("token"));
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        Answer(self.command(args).output().unwrap())
    }
}

#[tokio::test]
async fn an_import_goes_on_when_its_token_ends_and_another_one_lies_in_the_file() {
    const ROWS: i64 = 3_000;
    let bank = Guarded::start().await;
    let mut text = "transaction,account,command,currency,amount\n".to_owned();
    for row in 1..=ROWS {
        writeln!(text, "{row},a,deposit,EUR,1.00").unwrap();
    }
    let file = bank.path("statements.csv");
    fs::write(&file, text).unwrap();

    let short = Duration::from_secs(7);
    bank.renew(short.as_secs());
    let begun = Instant::now();
    let mut import = bank.command(&["import", file.to_str().unwrap(), "--json"]);
    let import = import.stdout(Stdio::piped()).spawn().unwrap();
    until_the_log_has(&bank.stores.database_url, 5).await;
    bank.renew(3_600);
    // The stream was opened with the short token. It is held up until that has ended, while a row is under way; but not for
    // the ten seconds after which an import takes a stream for lost.
    let service = bank.stack.service("write-service");
    send_signal("STOP", service);
    let rest = (short + Duration::from_millis(1_500)).saturating_sub(begun.elapsed());
    tokio::time::sleep(rest).await;
    send_signal("CONT", service);

    let ended = tokio::task::spawn_blocking(|| import.wait_with_output());
    let answer = Answer(ended.await.unwrap().unwrap());
    let report = answer.json();
    assert_eq!(answer.code(), 0, "{report:#}");
    let rows = ["applied", "appliedBefore"].map(|name| report[name].as_i64().unwrap());
    assert_eq!(rows[0] + rows[1], ROWS);

    // A token that stays bad ends it, with the reason and without waiting.
    fs::write(bank.path("token"), "a.b.c").unwrap();
    let answer = bank.run(&["import", file.to_str().unwrap(), "--json"]);
    let report = answer.json();
    assert_eq!((answer.code(), report["accountsOpened"].as_i64()), (3, Some(0)));
    assert_eq!(report["stopReason"]["error"]["reason"], "TOKEN_INVALID", "{report:#}");
}

#[tokio::test]
async fn a_command_whose_caller_is_sent_away_is_not_decided_and_says_how_to_go_on() {
    let bank = Guarded::start().await;
    let open = |id: u32, account: &str| {
        let id = format!("0190163d-8694-739b-88c3-{id:012x}");
        format!(
            r#"{{"open_account": {{"request_id": "{id}", "account_id": "{account}", "currency_code": "EUR"}}}}"#
        )
    };
    let file = bank.path("commands.jsonl");
    fs::write(&file, [open(1, "a"), open(2, "b")].join("\n")).unwrap();
    let batch = ["batch", file.to_str().unwrap()];

    fs::write(bank.path("token"), "a.b.c").unwrap();
    let answer = bank.run(&batch);
    assert_eq!(answer.code(), 3, "{}", answer.out());
    for part in ["line 2: open_account b: not answered: TOKEN_INVALID: ", "Run it again to go on"] {
        assert!(answer.out().contains(part), "{part} in {}", answer.out());
    }
    let answer = bank.run(&["deposit", "a", "1 EUR"]);
    assert_eq!(answer.code(), 3, "{}", answer.err());
    for part in
        ["TOKEN_INVALID (UNAUTHENTICATED)", "--token-file", "This call did nothing", "--request-id"]
    {
        assert!(answer.err().contains(part), "{part} in {}", answer.err());
    }

    fs::remove_file(bank.path("token")).unwrap();
    let answer = bank.run(&batch);
    assert_eq!(answer.code(), 3);
    assert!(answer.out().contains("not answered: CREDENTIALS_MISSING: "), "{}", answer.out());

    bank.renew(3_600);
    let answer = bank.run(&batch);
    assert_eq!(answer.code(), 0, "{}", answer.out());
}
