use proptest::prelude::*;

use super::*;
use crate::command::problems::SHOWN_MAX;

const HEADING: &str =
    "transaction,account,date,command,currency,minor_units,counterparty,reference,balance_after";

fn accounts(lines: &[&str]) -> Vec<AccountRows> {
    read(format!("{HEADING}\n{}\n", lines.join("\n")).as_bytes()).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let problems = read(text.as_bytes()).unwrap_err().to_string();
    problems.lines().map(str::to_owned).collect()
}

#[test]
fn rows_keep_the_order_of_the_file_within_their_account() {
    let accounts = accounts(&[
        "1,a,1993-01-29,deposit,CZK,100,,cash,100",
        "2,b,1993-01-29,deposit,CZK,5,,,",
        "3,a,1993-01-30,withdraw,CZK,30,x:1,\"a, b\",70",
    ]);
    assert_eq!(accounts.iter().map(|a| a.account_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let rows = &accounts[0].rows;
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
    assert_eq!((rows[1].reference.as_str(), rows[1].balance_after), ("a, b", Some(70)));
    assert_eq!(rows[0].effective_time.unwrap().seconds, 728_265_600);
    assert_eq!(accounts[1].rows[0].balance_after, None);
}

#[test]
fn amounts_may_be_written_with_a_point_instead_and_balances_are_then_too() {
    let text = "amount,command,currency,account,transaction,balance_after,owner\n\
                12.34,deposit,EUR,a,t-1,-0.05,o\n";
    let accounts = read(text.as_bytes()).unwrap();
    assert_eq!(accounts[0].rows[0].minor_units, 1234);
    assert_eq!(accounts[0].rows[0].balance_after, Some(-5));
    assert_eq!(accounts[0].owner_id.as_ref().unwrap().as_str(), "o");
}

#[test]
fn a_file_from_a_spreadsheet_with_its_byte_order_mark_and_line_ends_is_read() {
    let text =
        "\u{feff}transaction,account,command,currency,minor_units\r\n1, a ,deposit,EUR,5\r\n";
    assert_eq!(read(text.as_bytes()).unwrap()[0].account_id.as_str(), "a");
}

#[test]
fn everything_that_is_wrong_is_said_by_line() {
    let text = format!(
        "{HEADING}\n\
         ,a,1993-01-29,deposit,CZK,100,,,\n\
         2,-a,29.1.1993,steal,CZK,100,,,\n\
         3,a,,deposit,czk,100,,,\n\
         4,a,,deposit,CZK,-100,,,1.5\n\
         5,a,,deposit,CZK,0,,,\n\
         6,a,,deposit,CZK,+5,,,\n\
         7,a,,pay_bill,CZK,5,,,\n\
         8,a,,deposit\n\
         9,a,,deposit,CZK,5,,bell\u{7},\n"
    );
    let problems = problems(&text);
    for expected in [
        "line 2: transaction \"\" must be",
        "line 3: account \"-a\" must be",
        "line 3: command \"steal\" is none of",
        "line 3: date \"29.1.1993\" is not",
        "line 4: currency \"czk\" is",
        "line 5: amount \"-100\" is not a positive amount in CZK",
        "line 5: balance_after \"1.5\" is not an amount",
        "line 6: amount \"0\"",
        "line 7: amount \"+5\"",
        "line 8: counterparty \"\" must name the payee",
        "line 9: 4 cells, but the heading has 9",
        "line 10: reference \"bell\\u{7}\" must be",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(expected)),
            "{expected} {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 12, "{problems:#?}");
}

#[test]
fn the_same_transaction_twice_is_found_wherever_it_stands() {
    let text =
        format!("{HEADING}\n1,a,,deposit,CZK,5,,,\n2,a,,deposit,CZK,5,,,\n1,b,,deposit,CZK,5,,,\n");
    assert_eq!(problems(&text), ["line 4: transaction \"1\" stands in line 2 already"]);
}

#[test]
fn an_account_has_one_currency() {
    let text = format!("{HEADING}\n1,a,,deposit,CZK,5,,,\n2,a,,deposit,EUR,5,,,\n");
    assert_eq!(problems(&text), ["line 3: account a is in CZK in its earlier rows"]);
}

#[test]
fn a_heading_that_is_misspelt_or_not_whole_is_refused() {
    let found = problems("transaction,acount,command,currency,amount,minor_units,amount\n");
    assert!(found[0].contains("\"acount\" is none of transaction, account"), "{found:#?}");
    assert!(found[1].contains("\"amount\" stands there twice"));
    assert!(found[2].contains("\"account\" is missing"));
    assert!(found[3].contains("exactly one of"));
    assert_eq!(found.len(), 4);
}

#[test]
fn a_file_full_of_problems_shows_enough_of_them() {
    let rows = "x,-,,,,,,,\n".repeat(100);
    let problems = problems(&format!("{HEADING}\n{rows}"));
    assert_eq!(problems.len(), SHOWN_MAX + 1);
    assert!(problems.last().unwrap().starts_with("and "));
}

#[test]
fn every_row_of_a_long_file_knows_its_line() {
    let rows: Vec<String> = (3..9000).map(|line| format!("{line},a,,deposit,CZK,5,,,")).collect();
    let text = format!("{HEADING}\r\n\r\n{}", rows.join("\n"));
    let accounts = read(text.as_bytes()).unwrap();
    for row in &accounts[0].rows {
        assert_eq!(row.line.to_string(), row.transaction);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_a_file_it_is_read_or_what_is_wrong_is_said_by_line(
        cells in proptest::collection::vec("[0-9]{1,3}|[a-z]{1,4}|1993-0[1-3]-[0-3][0-9]|deposit|withdraw|CZK|\"|,|\\PC{0,3}|\n", 0..60),
        bytes in proptest::collection::vec(any::<u8>(), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = format!("{HEADING}\n1,a,1993-01-29,deposit,CZK,100,,cash,100\n{}", cells.join(",")).into_bytes();
        let place = cut.index(text.len() + 1);
        text.splice(place..place, bytes);
        let lines = 1 + text.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
        match read(&text) {
            Ok(accounts) => {
                prop_assert!(accounts.iter().flat_map(|account| &account.rows).all(|row| row.line <= lines));
            }
            Err(problems) => {
                prop_assert!(!problems.0.is_empty());
                prop_assert!(problems.0.iter().all(|(line, _)| (1..=lines).contains(line)), "{:?}", problems.0);
            }
        }
    }
}
