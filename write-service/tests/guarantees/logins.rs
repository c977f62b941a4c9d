//! The service writes through a login that may append, and neither change the log nor its schema.

use dev_servers::Postgres;
use event_store::migrate;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn a_service_works_through_a_login_that_may_only_append_and_waits_for_somebody_to_migrate() {
    let server = Postgres::start_private().await.unwrap();
    let url = server.create_database().await.unwrap();
    let admin = Admin::connect(&url).await;
    admin.run("CREATE ROLE teller LOGIN").await;
    let teller = url.replacen("counterfoil@", "teller@", 1);

    // It has no rights at all, and there is no log.
    let service = Service::start(&teller, &[]).await;
    let refusal = service.refused(open("a")).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "LEDGER_UNAVAILABLE"));
    service.until_serving(false).await;

    // An operator makes the log; the service goes on by itself.
    let identity = migrate(&url, None).await.unwrap();
    admin.run("GRANT counterfoil_writer TO teller").await;
    service.until_serving(true).await;
    service.done(open("a")).await;
    assert_eq!(service.done(deposit("a", 5)).await.balance(), 5);
    let log = Log { url, identity };
    let other = Service::start(&teller, &[]).await;
    assert_eq!(other.done(deposit("a", 5)).await.balance(), 10);
    assert_eq!(service.done(withdraw("a", 7)).await.balance(), 3);
    assert!(log.admin().await.cut("counterfoil-append/").await >= 2);
    assert_eq!(service.done(deposit("a", 1)).await.balance(), 4);
    assert_eq!(log.judge().await.balance("a"), 4);
}
