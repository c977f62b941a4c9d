//! What can be done now, ready to paste.

use uuid::Uuid;

use super::{addresses::Addresses, data_dir::DataDir};
use crate::output::out;
use crate::settings::DATA_DIR;

/// Prints where everything is and the first calls.
pub(super) fn print(addresses: &Addresses, data_dir: &DataDir) {
    out!("{}\n", text(addresses, data_dir));
}

fn text(addresses: &Addresses, data_dir: &DataDir) -> String {
    let Addresses { write, read, write_metrics, projector_metrics, read_metrics } = addresses;
    let data = match data_dir.is_temporary {
        true => "nothing is kept".to_owned(),
        false => format!("the data is kept in {}", data_dir.path.display()),
    };
    let program = std::env::args().next().unwrap_or_else(|| "counterfoil".to_owned());
    // Kept data already has the account of the run before, so each run gets one of its own.
    let (opening, deposit) = (Uuid::now_v7(), Uuid::now_v7());
    let [account, other] =
        ["alice", "bob"].map(|name| format!("{name}-{:04x}", opening.as_u128() & 0xffff));
    let env_file = data_dir.env_file();
    let is_found = env_file.parent().is_some_and(|folder| folder.ends_with(DATA_DIR));
    let env = match is_found {
        true => format!("Commands run in this folder find the addresses in {DATA_DIR}/env."),
        false => format!("For the addresses and store URLs: . '{}'", env_file.display()),
    };
    format!(
        r#"
Counterfoil is running. Ctrl-C stops it; {data}.

  write service  {write}   metrics http://{write_metrics}/metrics
  read service   {read}   metrics http://{read_metrics}/metrics
  projector                        metrics http://{projector_metrics}/metrics

Open an account, deposit, and read the balance with the deposit's token:

grpcurl -plaintext -d '{{"request_id":"{opening}","account_id":"{account}","currency_code":"EUR"}}' \
  {write} counterfoil.write.v1.WriteService/OpenAccount

TOKEN=$(grpcurl -plaintext -d '{{"request_id":"{deposit}","account_id":"{account}","amount":{{"currency_code":"EUR","minor_units":1234}}}}' \
  {write} counterfoil.write.v1.WriteService/Deposit | tee /dev/stderr | sed -n 's/.*"consistencyToken": "\([^"]*\)".*/\1/p')

grpcurl -plaintext -d '{{"account_id":"{account}","consistency":{{"at_least_as_fresh":"'$TOKEN'"}}}}' \
  {read} counterfoil.read.v1.ReadService/GetBalance

The same with this program:

{program} open {other} EUR --write-addr {write}
{program} deposit {other} 12.34 EUR --write-addr {write}
{program} balance {other} --read-addr {read} --at-least TOKEN

{env}
"#
    )
}
