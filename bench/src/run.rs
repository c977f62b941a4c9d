//! One run from beginning to end.

use std::{collections::BTreeSet, time::Instant};

use anyhow::Context as _;

use crate::{
    args::BenchArgs,
    figure::{self, Context, Figure},
    machine::Machine,
    report::{self, Pictures, Report},
    sample::Samples,
    series::{Lab, Series},
    servers::Servers,
};

/// Measures what was asked for and prints it. A figure that fails does not keep the others from being shown.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let figures = figure::chosen(&args)?;
    let servers = Servers::start(&args).await?;
    let machine = Machine::look(&servers).await?;
    machine.lines().iter().for_each(|line| eprintln!("{line}"));
    let series: BTreeSet<Series> = figures.iter().flat_map(|figure| figure.needs()).collect();
    let mut samples = Samples::default();
    let mut lab = None;
    if !series.is_empty() {
        let lab = lab.insert(Lab::start(&servers, &args, &series).await?);
        samples = lab.measure_all(&servers, &series, args.rounds()).await?;
    }
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    let mut pictures = Pictures::default();
    // Those that use what is running come first: the others need the memory and the CPU for themselves.
    let (with_lab, without): (Vec<&Figure>, Vec<&Figure>) =
        figures.into_iter().partition(|figure| !figure.needs().is_empty());
    for figure in with_lab.into_iter().chain(without) {
        let is_alone = figure.needs().is_empty();
        if let Some(lab) = lab.take_if(|_| is_alone) {
            lab.end(&servers).await?;
        }
        let mut context = Context {
            args: &args,
            servers: &servers,
            samples: &samples,
            lab: &mut lab,
            pictures: &mut pictures,
        };
        match figure.rows(&mut context).await.with_context(|| format!("measure {}", figure.name)) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("FAILED: {error:#}");
                failures.push(format!("{error:#}"));
                if lab.is_none() {
                    servers.flush_redis().await?; // what it left would burden the next
                }
            }
        }
    }
    if let Some(lab) = lab {
        lab.end(&servers).await?;
    }
    let took = begun.elapsed();
    let report = Report { args: &args, machine, rows, samples: &samples, pictures, took, failures };
    report::write(&report)?;
    anyhow::ensure!(report.failures.is_empty(), "{}", report.failures.join("; "));
    Ok(())
}
