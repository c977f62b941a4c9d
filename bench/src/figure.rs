//! All figures: what each needs to have measured, and how its rows come to be.

mod growth;
mod lag;
mod limits;
mod long_account;
mod long_snapshot;
mod overload;
mod read_under_write;
mod read_vs_sum;
mod rebuild;
mod reimport;
mod saturated;
mod side_by_side;
mod size;
mod writers;

use anyhow::Context as _;

use crate::{
    args::BenchArgs,
    report::Pictures,
    row::Row,
    sample::Samples,
    series::{Lab, Series},
    servers::Servers,
};

/// One figure of the table.
pub(crate) struct Figure {
    /// Its name, as users and goals spell it.
    pub(crate) name: &'static str,
    /// The shortest run that it belongs to.
    shortest: Run,
}

/// Runs, each with what the one before has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    Quick,
    Full,
    /// What no run has unless it is asked for.
    ByName,
}

const fn quick(name: &'static str) -> Figure {
    Figure { name, shortest: Run::Quick }
}

const fn full(name: &'static str) -> Figure {
    Figure { name, shortest: Run::Full }
}

const fn by_name(name: &'static str) -> Figure {
    Figure { name, shortest: Run::ByName }
}

/// In the order of the table.
pub(crate) const ALL: &[Figure] = &[
    quick("write_unary"),
    quick("write_unary_64"),
    quick("write_vs_classic"),
    full("write_vs_classic_statement"),
    quick("write_hot"),
    quick("write_vs_notify"),
    full("write_vs_cqrs_es"),
    quick("write_latency"),
    quick("write_p99"),
    quick("write_stream"),
    quick("write_cpu"),
    quick("transfer"),
    quick("read"),
    quick("read_p99"),
    quick("read_batch"),
    full("read_vs_row"),
    full("read_vs_redis"),
    full("read_vs_sum"),
    quick("lag"),
    full("lag_saturated"),
    quick("read_own_write"),
    full("rebuild"),
    full("rebuild_all"),
    full("long_account"),
    full("growth"),
    full("many_accounts"),
    full("two_writers"),
    full("four_shards"),
    full("read_under_write"),
    full("overload"),
    full("reimport"),
    full("long_snapshot"),
    full("size"),
    full("redis_size"),
    by_name("limits"),
];

/// What figures work with.
pub(crate) struct Context<'a> {
    pub(crate) args: &'a BenchArgs,
    pub(crate) servers: &'a Servers,
    /// What was measured side by side.
    pub(crate) samples: &'a Samples,
    /// Where that was; it is there for figures that need it.
    pub(crate) lab: &'a mut Option<Lab>,
    /// What is shown beside the table.
    pub(crate) pictures: &'a mut Pictures,
}

impl Figure {
    /// What has to be measured side by side.
    pub(crate) fn needs(&self) -> Vec<Series> {
        match self.name {
            "lag" => lag::needs(),
            "limits" => limits::needs(),
            "read_under_write" => read_under_write::needs(),
            "read_vs_sum" => read_vs_sum::needs(),
            name => side_by_side::needs(name),
        }
    }

    /// Measures what is left to measure, and gives the rows.
    pub(crate) async fn rows(&self, context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
        match self.name {
            "lag" => lag::rows(context).await,
            "limits" => Ok(limits::rows(context.samples)),
            "lag_saturated" => saturated::rows(context).await,
            // They come together.
            "rebuild_all" if context.args.wants("rebuild") => Ok(Vec::new()),
            "rebuild" | "rebuild_all" => rebuild::rows(context).await,
            "long_account" => long_account::rows(context).await,
            "growth" => growth::growth(context).await,
            "many_accounts" => growth::many_accounts(context).await,
            "two_writers" => writers::two(context).await,
            "four_shards" => writers::four_shards(context).await,
            "read_under_write" => read_under_write::rows(context).await,
            "read_vs_sum" => read_vs_sum::rows(context).await,
            "overload" => overload::rows(context).await,
            "reimport" => reimport::rows(context).await,
            "long_snapshot" => long_snapshot::rows(context).await,
            "size" => size::postgres(context).await,
            "redis_size" => size::redis(context).await,
            name => {
                let row = side_by_side::row(name, context.samples);
                Ok(vec![row.with_context(|| format!("{name} is no figure"))?])
            }
        }
    }
}

/// The figures that a run is about.
pub(crate) fn chosen(args: &BenchArgs) -> anyhow::Result<Vec<&'static Figure>> {
    if args.only.is_empty() {
        let run = if args.quick { Run::Quick } else { Run::Full };
        return Ok(ALL.iter().filter(|figure| figure.shortest <= run).collect());
    }
    let find = |name: &String| {
        let found = ALL.iter().find(|figure| figure.name == name);
        found.with_context(|| {
            let names: Vec<_> = ALL.iter().map(|figure| figure.name).collect();
            format!("{name} is no figure; there are {}", names.join(", "))
        })
    };
    args.only.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Subject;

    #[test]
    fn every_figure_that_is_computed_from_series_says_which() {
        for figure in ALL {
            let needs = figure.needs();
            if let Some(row) = side_by_side::row(figure.name, &Samples::default()) {
                assert_eq!(row.name, figure.name);
                assert!(!needs.is_empty(), "{}", figure.name);
            }
        }
    }

    #[test]
    fn every_promised_figure_is_there_once() {
        let promised = [
            "write_unary",
            "write_unary_64",
            "write_vs_classic",
            "write_hot",
            "write_vs_notify",
            "write_vs_cqrs_es",
            "write_latency",
            "write_p99",
            "write_stream",
            "write_cpu",
            "transfer",
            "read",
            "read_p99",
            "read_batch",
            "lag",
            "lag_saturated",
            "read_own_write",
            "rebuild",
            "rebuild_all",
            "long_account",
            "growth",
            "many_accounts",
            "two_writers",
            "four_shards",
            "read_under_write",
            "reimport",
            "long_snapshot",
            "size",
            "redis_size",
        ];
        for name in promised {
            assert_eq!(ALL.iter().filter(|figure| figure.name == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn figure_and_baseline_are_measured_with_the_same_callers_one_after_the_other() {
        let series: std::collections::BTreeSet<Series> =
            ALL.iter().flat_map(Figure::needs).collect();
        let callers: Vec<u32> = series.iter().map(|series| series.callers).collect();
        assert!(callers.is_sorted());
        assert!(series.contains(&Series { callers: 256, subject: Subject::Insert }));
    }
}
