//! Killing and pausing processes, and running older ones.

use std::{path::PathBuf, time::Duration};

use tokio::{sync::Mutex, time::sleep};

use super::Stage;
use crate::{dice::Dice, process::Process};

/// Names the folder of older binaries.
const OLD_BINARIES: &str = "COUNTERFOIL_OLD_BINARIES";

/// Where older binaries are, if there are any.
pub(in crate::faults) fn old_binaries() -> Option<PathBuf> {
    let folder = PathBuf::from(service_kit::config::env_var(OLD_BINARIES)?);
    folder.join("write-service").is_file().then_some(folder)
}

/// Reached: it ran, and died of it. One that did not run has ended by itself.
pub(super) async fn kill(stage: &Stage, process: &Mutex<Process>, down: Duration) -> bool {
    let mut process = process.lock().await;
    let ran = process.is_running();
    if !ran {
        stage
            .tally
            .accident(format!("ended by itself before it was killed; its log: {}", process.log()));
    }
    process.kill().await;
    sleep(down).await;
    process.restart();
    ran
}

/// Asks it to end, under load: what it has taken is finished first. Reached: it ended by itself, in good order.
pub(super) async fn terminate(stage: &Stage, process: &Mutex<Process>) -> bool {
    let mut process = process.lock().await;
    if !process.is_running() {
        return false; // said elsewhere
    }
    let status = process.terminate().await;
    if !status.success() {
        stage.tally.accident(format!("asked to end, it {status}; its log: {}", process.log()));
    }
    process.restart();
    status.success()
}

/// Reached: the kernel says that it stands still.
pub(super) async fn pause(process: &Mutex<Process>, hold: Duration) -> bool {
    let process = process.lock().await;
    process.signal("STOP").await;
    sleep(hold).await;
    let stood_still = process.pid().is_some_and(stands_still);
    process.signal("CONT").await;
    stood_still
}

/// Whether the kernel says so.
pub(super) fn stands_still(pid: u32) -> bool {
    // The state is behind the name, which is in brackets and may hold anything.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
}

/// One of each service is replaced by an older one for a while. Reached: the older one ran to the end of it.
pub(super) async fn upgrade(stage: &Stage, dice: &mut Dice, hold: Duration) -> bool {
    let Some(folder) = old_binaries() else { return false };
    let kinds = [
        ("write-service", dice.pick(&stage.writers)),
        ("projector", dice.pick(&stage.projectors)),
        ("read-service", dice.pick(&stage.readers)),
    ];
    for (name, process) in kinds {
        restart_as(process, Some(folder.join(name))).await;
    }
    sleep(hold.max(Duration::from_secs(2))).await;
    let mut ran = true;
    for (_, process) in kinds {
        ran &= process.lock().await.is_running();
        restart_as(process, None).await;
    }
    ran
}

async fn restart_as(process: &Mutex<Process>, program: Option<PathBuf>) {
    let mut process = process.lock().await;
    process.terminate().await;
    process.run_instead(program);
    process.restart();
}
