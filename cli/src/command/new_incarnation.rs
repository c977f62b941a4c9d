//! `counterfoil new-incarnation`

use std::io::IsTerminal;

use clap::Args;

use crate::output::out;
use crate::{failure::Failure, settings::LogDatabase};

/// Declares that a log that was restored from a backup is to be gone on with.
///
/// What was appended after the backup is lost, and clients may have seen it. So the log gets a new id: tokens of before are
/// refused instead of waiting for positions that mean something else now, and the projector builds every view anew.
/// The events that are there stay as they are. Stop all services first, and start them again afterwards.
#[derive(Args)]
pub(crate) struct NewIncarnation {
    #[command(flatten)]
    log: LogDatabase,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl NewIncarnation {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let url = self.log.get()?;
        if !self.yes && !confirmed(&url.display_redacted())? {
            return Err(Failure::usage("nothing was changed"));
        }
        let identity =
            event_store::start_new_incarnation(url.expose()).await.map_err(Failure::other)?;
        out!("The log is now {} (incarnation {}).\n", identity.log_id, identity.incarnation);
        out!(
            "Start the services again; the read model is built anew, and old tokens are refused.\n"
        );
        Ok(())
    }
}

fn confirmed(place: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "this has to be confirmed: give --yes where nobody can be asked",
        ));
    }
    out!(
        "The log in {place} becomes a new incarnation: every token given so far is refused from then on, and the read \
         model is built anew. Are all services stopped, and is this what you want? Type yes: "
    );
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(Failure::other)?;
    Ok(answer.trim() == "yes")
}
