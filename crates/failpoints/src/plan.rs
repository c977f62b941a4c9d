//! What is to happen where, as the environment says it.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// The setting.
const VARIABLE: &str = "COUNTERFOIL_FAILPOINTS";

/// On which side of a use of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Moment {
    Before,
    After,
}

impl Moment {
    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// What is left to the caller to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Pause(Duration),
    Fail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Abort,
    Leave(Action),
}

/// All that is to happen.
#[derive(Debug, Default)]
struct Plan {
    /// By point, such as `after append`.
    points: HashMap<String, Vec<(u64, Order)>>,
    traces: bool,
    /// How often each point was passed.
    passed: Mutex<HashMap<String, u64>>,
}

/// Notes that a point is passed; whether something is to happen there now.
pub(crate) fn reached(moment: Moment, doing: &str) -> Option<Action> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let plan = PLAN.get_or_init(|| {
        #[allow(clippy::disallowed_methods, reason = "no setting of the service, but of a test")]
        let text = std::env::var(VARIABLE).ok()?;
        #[allow(clippy::panic, reason = "a test that misspells a point would test nothing")]
        Some(text.parse().unwrap_or_else(|wrong| panic!("{VARIABLE}: {wrong}")))
    });
    plan.as_ref()?.reached(moment, doing)
}

impl Plan {
    fn reached(&self, moment: Moment, doing: &str) -> Option<Action> {
        let point = format!("{} {doing}", moment.name());
        let pass = {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let pass = passed.entry(point.clone()).or_default();
            *pass += 1;
            *pass
        };
        if self.traces && pass == 1 {
            tracing::warn!(failpoint = point, "failpoint passed");
        }
        let order = self.points.get(&point)?.iter().find(|(at, _)| *at == pass)?.1;
        tracing::warn!(failpoint = point, pass, ?order, "failpoint reached");
        match order {
            Order::Abort => std::process::abort(),
            Order::Leave(action) => Some(action),
        }
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            if part == "trace" {
                plan.traces = true;
                continue;
            }
            let (point, order) = part.split_once('=').ok_or_else(|| format!("{part}: no ="))?;
            let is_moment = ["before ", "after "].iter().any(|moment| point.starts_with(moment));
            if !is_moment {
                return Err(format!("{point}: must begin with before or after"));
            }
            let (order, pass) = order.split_once('@').unwrap_or((order, "1"));
            let pass = pass.parse().map_err(|_| format!("{part}: {pass} is no number"))?;
            let order = match order.split_once(' ') {
                None if order == "abort" => Order::Abort,
                None if order == "fail" => Order::Leave(Action::Fail),
                Some(("pause", time)) => {
                    let time = time.parse().map_err(|_| format!("{part}: {time} is no number"))?;
                    Order::Leave(Action::Pause(Duration::from_millis(time)))
                }
                _ => return Err(format!("{part}: must be abort, fail, or pause and a number")),
            };
            plan.points.entry(point.to_owned()).or_default().push((pass, order));
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_happen_happens_at_its_time_and_nowhere_else() {
        let text = "after append=fail@2; before append=pause 7; after append=pause 5@3; trace";
        let plan: Plan = text.parse().unwrap();
        let after = || plan.reached(Moment::After, "append");
        assert_eq!(after(), None);
        assert_eq!(after(), Some(Action::Fail));
        assert_eq!(after(), Some(Action::Pause(Duration::from_millis(5))));
        assert_eq!(after(), None);
        let before = || plan.reached(Moment::Before, "append");
        assert_eq!(before(), Some(Action::Pause(Duration::from_millis(7))));
        assert_eq!(before(), None);
        assert_eq!(plan.reached(Moment::After, "append more"), None);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for wrong in [
            "append",
            "append=fail",
            "after append=stop",
            "after append=pause",
            "after append=fail@x",
        ] {
            assert!(wrong.parse::<Plan>().is_err(), "{wrong}");
        }
    }
}
