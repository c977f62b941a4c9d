//! A real SIGTERM, to a process of its own: this file holds one test only.

use std::process::Command;
use std::time::Duration;

use service_kit::shutdown::run_until_shutdown;

#[tokio::test]
async fn sigterm_cancels_the_service_and_its_outcome_is_returned() {
    let outcome = run_until_shutdown(Duration::from_secs(30), |token| async move {
        let id = std::process::id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        token.cancelled().await;
        "drained"
    });
    assert_eq!(outcome.await.unwrap(), "drained");
}
