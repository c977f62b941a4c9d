//! The names of all figures, and what each of them has to reach.

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, ">= {goal}"),
            Self::AtMost(goal) => write!(f, "<= {goal}"),
        }
    }
}

/// The goal of a figure's part; `None` where as good as possible is the goal.
pub(crate) fn goal(name: &str, part: &str) -> Option<Goal> {
    use Goal::{AtLeast, AtMost};
    Some(match (name, part) {
        ("write_unary", "") => AtLeast(2.7),
        ("write_unary_64", "") => AtLeast(2.0),
        ("write_vs_classic", "") => AtLeast(8.0),
        ("write_hot", "") => AtLeast(40.0),
        ("write_vs_notify", "") => AtLeast(15.0),
        ("write_vs_cqrs_es", "") => AtLeast(10.0),
        ("write_latency", "") => AtMost(1.15),
        ("write_p99", "") => AtMost(0.5),
        ("write_stream", "") => AtLeast(5.0),
        ("write_cpu", "") => AtMost(35.0),
        ("transfer", "") => AtLeast(0.6),
        ("read", "") => AtLeast(0.85),
        ("read_p99", "") => AtMost(1.3),
        ("read_batch", "") => AtLeast(10.0),
        ("lag", "p50") => AtMost(1.0),
        ("lag", "p99") => AtMost(4.0),
        ("lag_saturated", "p99") => AtMost(10.0),
        // 1 is the same lag from beginning to end; what one second differs from the next is not growth.
        ("lag_saturated", "growth") => AtMost(1.5),
        ("read_own_write", "") => AtMost(1.2),
        ("rebuild", "") => AtLeast(0.7),
        ("rebuild_all", "") => AtLeast(0.25),
        ("long_account", "deposit" | "balance") => AtMost(1.1),
        ("growth", "") | ("many_accounts", "") => AtLeast(0.7),
        ("many_accounts", "memory") => AtMost(1024.0),
        ("two_writers", "") => AtLeast(0.8),
        ("four_shards", "") => AtLeast(0.85),
        ("read_under_write", "") => AtMost(2.5),
        ("overload", "") => AtLeast(0.8),
        ("reimport", "") => AtLeast(1.0),
        ("long_snapshot", "") => AtMost(1.1),
        ("size", "disk") => AtMost(260.0),
        ("size", "wal") => AtMost(450.0),
        _ => return None,
    })
}
