//! One row of the table.

use serde::Serialize;

use crate::{
    goal::{Goal, goal},
    stats::{self, Ratio},
};

/// A figure, beside its baseline if it has one.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The name of the figure.
    pub(crate) name: &'static str,
    /// Which part of it, if it has several.
    pub(crate) part: &'static str,
    pub(crate) figure: Values,
    pub(crate) baseline: Option<Values>,
}

/// What was measured in each round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Values {
    /// What it is, such as "Deposit, 256 callers".
    pub(crate) what: String,
    /// Such as "/s".
    pub(crate) unit: &'static str,
    pub(crate) rounds: Vec<f64>,
}

impl Values {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self { what: what.into(), unit, rounds }
    }

    pub(crate) fn median(&self) -> f64 {
        stats::median(&self.rounds)
    }
}

impl Row {
    /// A figure that is judged as a multiple of its baseline.
    pub(crate) fn beside(name: &'static str, figure: Values, baseline: Values) -> Self {
        Self { name, part: "", figure, baseline: Some(baseline) }
    }

    /// A figure that is judged by itself.
    pub(crate) fn alone(name: &'static str, figure: Values) -> Self {
        Self { name, part: "", figure, baseline: None }
    }

    pub(crate) fn part(self, part: &'static str) -> Self {
        Self { part, ..self }
    }

    /// The figure as a multiple of its baseline.
    pub(crate) fn ratio(&self) -> Option<Ratio> {
        let baseline = self.baseline.as_ref()?;
        Some(stats::ratio(&self.figure.rounds, &baseline.rounds))
    }

    pub(crate) fn goal(&self) -> Option<Goal> {
        goal(self.name, self.part)
    }

    /// What the goal is about.
    pub(crate) fn value(&self) -> f64 {
        self.ratio().map_or_else(|| self.figure.median(), |ratio| ratio.median)
    }

    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.goal().map(|goal| goal.is_reached(self.value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_with_a_baseline_is_judged_by_the_ratio_and_one_without_by_itself() {
        let values = |rounds: &[f64]| Values::new("", "/s", rounds.to_vec());
        let row = Row::beside("write_unary", values(&[28.0, 26.0]), values(&[10.0, 10.0]));
        assert_eq!(row.is_reached(), Some(true));
        let row = Row::alone("write_cpu", values(&[36.0]));
        assert_eq!(row.is_reached(), Some(false));
        let row = Row::alone("redis_size", values(&[36.0])).part("account");
        assert_eq!(row.is_reached(), None);
    }
}
