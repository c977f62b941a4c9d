//! Open files that this process may have, most of which are connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Not for connections of clients: the stores, metrics, health, the log, files that are read again.
const RESERVE: u64 = 256;

/// Allows itself as many as it may. Belongs into `main`, once: what is usual, 1024, is meant for programs that are older.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if raised != limit
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        warn!(%error, current = limit.current, "raise the limit of open files");
    }
}

/// How many of them connections of clients may take, if there are no more than `wanted`.
pub(crate) fn for_connections(wanted: usize) -> usize {
    let Some(current) = getrlimit(Resource::Nofile).current else { return wanted };
    wanted.min(usize::try_from(without_reserve(current)).unwrap_or(usize::MAX))
}

/// Where there are hardly more than that, half of them.
fn without_reserve(descriptors: u64) -> u64 {
    descriptors.saturating_sub(RESERVE).max(descriptors / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        let cases = [(1_048_576, 1_048_320), (1024, 768), (400, 200), (64, 32)];
        for (descriptors, connections) in cases {
            assert_eq!(without_reserve(descriptors), connections, "{descriptors}");
        }
        assert_eq!(for_connections(1), 1);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
