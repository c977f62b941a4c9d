//! What to do about the generations of a view: which to project, whether to begin one, which to drop. Pure, so
//! that every case can be written down in a test.

use std::{collections::HashSet, time::Duration};

use ledger::LogId;
use read_model::{Generation, GenerationStatus, ViewStatus};

/// What a generation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Queries see it.
    Visible,
    /// It will take the visible one's place.
    Building,
    /// Queries saw it before, and may see it again.
    Retired,
}

/// What to do about one view on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Generations to project on.
    pub(crate) project: Vec<(Role, GenerationStatus)>,
    /// Why a generation has to be begun, if one has.
    pub(crate) begin: Option<&'static str>,
    /// A generation that has had its time.
    pub(crate) drop: Option<Generation>,
}

/// Looks at how a view stands.
///
/// A generation can be continued only at its own checkpoint, of the same log. One whose checkpoint is lost is
/// never rebuilt in place, over keys that nobody vouches for: a new one is begun.
pub(crate) fn plan(
    status: &ViewStatus,
    log_id: LogId,
    unusable: &HashSet<Generation>,
    retired_grace: Duration,
) -> Plan {
    let usable = |known: &GenerationStatus| {
        known.checkpoint.is_some_and(|checkpoint| checkpoint.log_id == log_id)
            && !unusable.contains(&known.generation)
    };
    let visible = status.visible.filter(usable);
    let building = status.building.filter(usable);
    let retired = status.retired.filter(usable);
    let begin = match (building, status.building, visible) {
        (Some(_), ..) => None,
        (None, Some(_), _) => Some("the generation being built cannot be continued"),
        (None, None, None) if status.visible.is_none() => Some("the view was never built"),
        (None, None, None) => Some("the visible generation cannot be continued"),
        (None, None, Some(_)) => status.rebuild_requested.then_some("a rebuild was asked for"),
    };
    let age_ms = status.retired_at_ms.map_or(u64::MAX, |at| at.abs_diff(status.redis_now_ms));
    let has_had_its_time = u128::from(age_ms) >= retired_grace.as_millis();
    let drop = status.retired.filter(|_| retired.is_none() || has_had_its_time);
    let drop = drop.map(|known| known.generation);
    let roles = [(Role::Visible, visible), (Role::Building, building), (Role::Retired, retired)];
    let project = roles.into_iter().filter_map(|(role, known)| Some((role, known?)));
    let project = project.filter(|(_, known)| Some(known.generation) != drop);
    Plan { project: project.collect(), begin, drop }
}

#[cfg(test)]
mod tests {
    use ledger::{Position, Shard};
    use read_model::{Checkpoint, View};

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn log(number: u128) -> LogId {
        LogId(uuid::Uuid::from_u128(number))
    }

    fn generation(number: i64) -> Generation {
        Generation::new(number).unwrap()
    }

    fn known(number: i64, of_log: u128) -> Option<GenerationStatus> {
        let checkpoint = Checkpoint {
            log_id: log(of_log),
            position: Position::ZERO,
            hash: [0; 32],
            recorded_at: None,
            entries_max: 0,
        };
        Some(GenerationStatus { generation: generation(number), checkpoint: Some(checkpoint) })
    }

    fn lost(number: i64) -> Option<GenerationStatus> {
        Some(GenerationStatus { generation: generation(number), checkpoint: None })
    }

    fn status() -> ViewStatus {
        ViewStatus {
            view: View::Accounts,
            shard: Shard::ZERO,
            visible: None,
            building: None,
            filling: None,
            retired: None,
            retired_at_ms: None,
            rebuild_requested: false,
            head: None,
            redis_now_ms: 1_000_000,
        }
    }

    fn planned(status: &ViewStatus) -> (Vec<i64>, bool, Option<i64>) {
        let plan = plan(status, log(1), &HashSet::new(), GRACE);
        let project = plan.project.iter().map(|(_, known)| known.generation.get());
        (project.collect(), plan.begin.is_some(), plan.drop.map(Generation::get))
    }

    #[test]
    fn what_is_missing_or_lost_or_of_another_log_is_built_anew() {
        assert_eq!(planned(&status()), (vec![], true, None));
        for visible in [lost(5), known(5, 2)] {
            assert_eq!(planned(&ViewStatus { visible, ..status() }), (vec![], true, None));
        }
        assert_eq!(
            planned(&ViewStatus { visible: known(5, 1), ..status() }),
            (vec![5], false, None)
        );
    }

    #[test]
    fn one_generation_is_built_at_a_time() {
        let building = known(6, 1);
        assert_eq!(planned(&ViewStatus { building, ..status() }), (vec![6], false, None));
        let visible = known(5, 1);
        let asked = ViewStatus { visible, rebuild_requested: true, ..status() };
        assert_eq!(planned(&asked), (vec![5], true, None));
        assert_eq!(planned(&ViewStatus { building, ..asked }), (vec![5, 6], false, None));
    }

    #[test]
    fn a_lost_generation_that_was_being_built_is_begun_again_under_another_number() {
        let visible = known(5, 1);
        for building in [lost(6), known(6, 2)] {
            let status = ViewStatus { visible, building, ..status() };
            assert_eq!(planned(&status), (vec![5], true, None));
        }
    }

    #[test]
    fn a_generation_that_cannot_be_continued_is_replaced() {
        let status = ViewStatus { visible: known(5, 1), ..status() };
        let plan = plan(&status, log(1), &[generation(5)].into(), GRACE);
        assert!(plan.project.is_empty() && plan.begin.is_some());
    }

    #[test]
    fn the_generation_before_is_kept_up_to_date_for_a_while() {
        let retired = ViewStatus { visible: known(6, 1), retired: known(5, 1), ..status() };
        let since = |ms: i64| ViewStatus { retired_at_ms: Some(1_000_000 - ms), ..retired };
        assert_eq!(planned(&since(0)), (vec![6, 5], false, None));
        assert_eq!(planned(&since(59_999)), (vec![6, 5], false, None));
        assert_eq!(planned(&since(60_000)), (vec![6], false, Some(5)));
        assert_eq!(planned(&since(-3_600_000)), (vec![6], false, Some(5)), "the clock went back");
        let gone = ViewStatus { retired: lost(5), ..since(0) };
        assert_eq!(planned(&gone), (vec![6], false, Some(5)), "nobody could go back to it");
    }
}
