//! What is printed: for people, or as JSON with the names of the contract.

mod json;
mod layout;
mod messages;
mod print;

pub(crate) use json::print_json;
pub(crate) use layout::{Fields, Table};
pub(crate) use messages::{
    account_fields, duration, enum_word, minor_units, money, read_fields, time, transaction_table,
    write_fields,
};
pub(crate) use print::{out, print};
