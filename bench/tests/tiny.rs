//! A benchmark so small that it measures nothing, to see that everything works together.
//!
//! The services are those beside the benchmark's program; `cargo test --workspace` and `make test` build them.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

#[test]
fn a_tiny_run_measures_checks_and_leaves_every_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let figures =
        ["write_unary_64", "write_p99", "read", "read_own_write", "write_latency", "lag", "limits"];
    let output = Command::new(env!("CARGO_BIN_EXE_counterfoil-bench"))
        .args(["--only", &figures.join(","), "--rounds", "1"])
        .args(["--seconds", "0.2", "--accounts", "50"])
        .arg("--json")
        .arg(file("json"))
        .arg("--markdown")
        .arg(file("markdown"))
        .arg("--plots")
        .arg(file("plots"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let report: Value = serde_json::from_str(&fs::read_to_string(file("json")).unwrap()).unwrap();
    let rows = report["figures"].as_array().unwrap();
    let names: BTreeSet<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, figures.into());
    for row in rows {
        // What can be read before its acknowledgement has arrived has no lag.
        let least = if row["name"] == "lag" { 0.0 } else { f64::MIN_POSITIVE };
        assert!(row["figure_median"].as_f64().unwrap() >= least, "{row}");
        if row["baseline"].is_null() {
            continue;
        }
        assert!(row["ratio"].as_f64().unwrap() >= least, "{row}");
        assert_eq!(row["reached"].is_boolean(), row["name"] != "limits", "{row}");
    }
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    assert!(fs::read_to_string(file("markdown")).unwrap().contains("| write_unary_64 |"));
    for picture in ["latency.svg", "lag.svg"] {
        assert!(fs::read_to_string(file("plots").join(picture)).unwrap().starts_with("<svg"));
    }
}
