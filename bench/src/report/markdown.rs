//! The tables, ready for a document.

use super::{Report, table::Table};

/// The machine, then the tables.
pub(super) fn report(report: &Report<'_>, tables: &[Table]) -> String {
    let args = report.args;
    let mut text: String =
        report.machine.lines().iter().map(|line| format!("- {line}\n")).collect();
    text.push_str(&format!(
        "- {} rounds of {} s, {} accounts\n",
        args.rounds(),
        args.time().as_secs_f64(),
        args.accounts
    ));
    for table in tables {
        text.push('\n');
        text.push_str(&markdown(table));
    }
    text
}

fn markdown(table: &Table) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&table.head);
    let rule: Vec<&str> = table
        .head
        .iter()
        .enumerate()
        .map(|(column, _)| if column == 0 { "---" } else { "--:" })
        .collect();
    text.push_str(&format!("|{}|\n", rule.join("|")));
    table.rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}
