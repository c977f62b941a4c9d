//! Which method needs which scope. A method that is not here is closed to everybody.

use crate::caller::Scope::{self, Admin, Read, Write};

/// What a caller needs for a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing: who asks for health is a load balancer, and learns nothing of accounts.
    Open,
    /// Any credential, or nothing if settings say so: it shows what stands in the `.proto` files.
    Reflection,
    /// A credential with this scope.
    Needs(Scope),
}

/// Every method that may be called by somebody.
const METHODS: [(&str, Scope); 20] = [
    ("/counterfoil.write.v1.WriteService/OpenAccount", Write),
    ("/counterfoil.write.v1.WriteService/Deposit", Write),
    ("/counterfoil.write.v1.WriteService/Withdraw", Write),
    ("/counterfoil.write.v1.WriteService/PayBill", Write),
    ("/counterfoil.write.v1.WriteService/Transfer", Write),
    ("/counterfoil.write.v1.WriteService/SetOverdraftLimit", Write),
    ("/counterfoil.write.v1.WriteService/FreezeAccount", Write),
    ("/counterfoil.write.v1.WriteService/UnfreezeAccount", Write),
    ("/counterfoil.write.v1.WriteService/CloseAccount", Write),
    ("/counterfoil.write.v1.WriteService/ExecuteBatch", Write),
    ("/counterfoil.write.v1.WriteService/ExecuteStream", Write),
    ("/counterfoil.read.v1.ReadService/GetAccount", Read),
    ("/counterfoil.read.v1.ReadService/GetBalance", Read),
    ("/counterfoil.read.v1.ReadService/BatchGetBalances", Read),
    ("/counterfoil.read.v1.ReadService/ListAccounts", Read),
    ("/counterfoil.read.v1.ReadService/GetTransaction", Read),
    ("/counterfoil.read.v1.ReadService/GetLatestTransaction", Read),
    ("/counterfoil.read.v1.ReadService/ListTransactions", Read),
    ("/counterfoil.read.v1.ReadService/GetTotals", Admin),
    ("/counterfoil.read.v1.ReadService/GetReadModelStatus", Admin),
];

const HEALTH: &str = "/grpc.health.v1.Health/";
const REFLECTION: [&str; 2] =
    ["/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// The rule for a method, with its name as logs may have it.
pub(crate) fn rule(path: &str) -> Option<(Rule, &'static str)> {
    if let Some((method, scope)) = METHODS.iter().find(|(method, _)| *method == path) {
        return Some((Rule::Needs(*scope), method));
    }
    if path.starts_with(HEALTH) {
        return Some((Rule::Open, HEALTH));
    }
    let reflection = REFLECTION.into_iter().find(|service| path.starts_with(service))?;
    Some((Rule::Reflection, reflection))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_contract_has_a_rule_and_no_other_has() {
        let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut of_the_contract = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let names = (file.package(), service.name(), method.name());
                    of_the_contract.insert(format!("/{}.{}/{}", names.0, names.1, names.2));
                }
            }
        }
        let with_a_rule = METHODS.iter().map(|(method, _)| (*method).to_owned()).collect();
        assert_eq!(of_the_contract, with_a_rule);
    }

    #[test]
    fn what_is_not_known_is_closed() {
        for path in ["", "/", "/counterfoil.write.v1.WriteService/Other", "/grpc.health.v1.Health"]
        {
            assert_eq!(rule(path), None, "{path}");
        }
        assert_eq!(rule("/grpc.health.v1.Health/Check").unwrap().0, Rule::Open);
    }
}
