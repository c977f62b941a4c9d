//! Which request ids a row has: always the same ones, whatever file and line it stands in.

use uuid::Uuid;

/// Makes the ids of this tool unlike anybody else's. Never changed: an import run again would then change something.
const ROOT: Uuid = Uuid::from_u128(0x5b1f_7c52_8d0e_4a86_9c33_2f6d_71e0_a94b);

/// The ids of one namespace, such as a bank.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestIds {
    namespace: Uuid,
}

impl RequestIds {
    pub(super) fn new(namespace: &str) -> Self {
        Self { namespace: Uuid::new_v5(&ROOT, namespace.as_bytes()) }
    }

    /// Under which an account is opened.
    pub(super) fn opening(self, account: &str) -> Uuid {
        self.derive("account", account)
    }

    /// Under which a row is sent for the `attempt`-th time; the first is 1.
    pub(super) fn row(self, transaction: &str, attempt: u32) -> Uuid {
        self.derive(&format!("transaction/{attempt}"), transaction)
    }

    fn derive(self, kind: &str, name: &str) -> Uuid {
        Uuid::new_v5(&self.namespace, format!("{kind}/{name}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_ids_of_a_row_are_the_same_for_ever() {
        let ids = RequestIds::new("default");
        let golden = [
            (ids.row("1081327", 1), "989594cf-e081-5da8-af36-17b323f4e01b"),
            (ids.row("1081327", 2), "ea3507b7-d302-55bb-834d-b806b48f4a26"),
            (ids.opening("cz-3693"), "f77f6736-2f6a-5394-9e5c-b6316e0ec4e6"),
            (
                RequestIds::new("other bank").row("1081327", 1),
                "d0b16a56-5a6d-524c-9f28-e81bbe99bd93",
            ),
        ];
        for (id, expected) in golden {
            assert_eq!(id.to_string(), expected);
        }
    }

    #[test]
    fn no_two_things_share_an_id() {
        let (one, two) = (RequestIds::new("one"), RequestIds::new("two"));
        let ids = [
            one.row("1", 1),
            one.row("1", 2),
            one.row("2/1", 1),
            one.row("1", 21),
            one.opening("1"),
            two.row("1", 1),
            two.opening("1"),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }
}
