#!/usr/bin/env bash
# A household's money through Counterfoil by grpcurl, which learns the messages from the servers, by reflection.
set -euo pipefail

write_addr=${WRITE_SERVICE_ADDR:-127.0.0.1:50051}
read_addr=${READ_SERVICE_ADDR:-127.0.0.1:50052}

# Also how long a query waits for `at_least_as_fresh`.
readonly DEADLINE_SECONDS=5
# What grpcurl ends with when a call is refused: 64 and the gRPC code.
readonly INVALID_ARGUMENT=$((64 + 3)) FAILED_PRECONDITION=$((64 + 9))

# call <address> <service/method>: sends the JSON it reads; the answer is JSON too, an int64 in it a string.
call() { grpcurl -plaintext -max-time "$DEADLINE_SECONDS" -format-error -emit-defaults -d @ "$1" "$2"; }
write_service() { call "$write_addr" "counterfoil.write.v1.WriteService/$1"; }
read_service() { call "$read_addr" "counterfoil.read.v1.ReadService/$1"; }

surprise() {
    echo "surprise: $*" >&2
    exit 1
}
# grpcurl itself has said why.
trap 'surprise "line $LINENO did not get its answer"' ERR
expect() { [[ $2 == "$3" ]] || surprise "$1 is $2, expected $3"; }
say() { printf '%-10s %s\n' "$1" "$2"; }

# refusal <exit code> <method>: sends what must be refused; prints the status and its details as JSON.
refusal() {
    local status code=0
    status=$(write_service "$2" 2>&1) || code=$?
    expect "exit code of $2" "$code" "$1"
    printf '%s\n' "$status"
}
# The error detail of one type, out of a status.
detail() { jq -e --arg type "type.googleapis.com/google.rpc.$1" '.details[] | select(."@type" == $type)'; }

new_id() { uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid; }
eur() { printf '{"currency_code": "EUR", "minor_units": %d}' "$1"; }

# health <address> <service>
health() {
    local answer
    answer=$(call "$1" grpc.health.v1.Health/Check <<<"{\"service\": \"$2\"}") || surprise "nobody answers for $2 at $1"
    expect "health of $2" "$(jq -r .status <<<"$answer")" SERVING
}
health "$write_addr" counterfoil.write.v1.WriteService
health "$read_addr" counterfoil.read.v1.ReadService
say health "both services are serving"

household=$(new_id | cut -c 1-8)
alice=alice-$household
bob=bob-$household
for account_id in "$alice" "$bob"; do
    write_service OpenAccount >/dev/null <<JSON
{"request_id": "$(new_id)", "account_id": "$account_id", "owner_id": "household-$household", "currency_code": "EUR"}
JSON
done
say opened "$alice, $bob"

deposit=$(cat <<JSON
{"request_id": "$(new_id)", "account_id": "$alice", "amount": $(eur 10000), "reference": "salary"}
JSON
)
first=$(write_service Deposit <<<"$deposit")
say deposited "$(jq -r '"\(.transaction.amount.display) EUR, now \(.account.balance.display)"' <<<"$first")"
# What a client does that lost the answer: the same again. The outcome comes from the log.
again=$(write_service Deposit <<<"$deposit")
expect "replayed, the first time" "$(jq .write.replayed <<<"$first")" false
expect "replayed, the second time" "$(jq .write.replayed <<<"$again")" true
expect "transaction of the replay" "$(jq -S .transaction <<<"$again")" "$(jq -S .transaction <<<"$first")"
say again "replayed: still transaction $(jq -r .transaction.transactionId <<<"$again")"

sent=$(write_service Transfer <<JSON
{"request_id": "$(new_id)", "source_account_id": "$alice", "destination_account_id": "$bob", "amount": $(eur 3000)}
JSON
)
say sent "$(jq -r '"\(.transaction.amount.display) EUR, now \(.destinationAccount.balance.display) there"' <<<"$sent")"
paid=$(write_service PayBill <<JSON
{"request_id": "$(new_id)", "account_id": "$alice", "amount": $(eur 1234), "payee": "City Power"}
JSON
)
say paid "$(jq -r '"\(.transaction.amount.display) EUR to \(.transaction.counterparty)"' <<<"$paid")"

# The token makes the query wait until its answer includes the bill.
fresh="{\"at_least_as_fresh\": $(jq .write.consistencyToken <<<"$paid")}"
balance=$(read_service GetBalance <<<"{\"account_id\": \"$alice\", \"consistency\": $fresh}")
expect balance "$(jq -r .balance.minorUnits <<<"$balance")" 5766
say balance "$(jq -r '"\(.balance.display) EUR at version \(.version)"' <<<"$balance")"

pages='' balances='' page_token='""'
while :; do
    page=$(read_service ListTransactions <<JSON
{"account_id": "$alice", "page_size": 2, "page_token": $page_token, "consistency": $fresh}
JSON
    )
    pages+="$(jq '.transactions | length' <<<"$page") "
    balances+="$(jq -r '[.transactions[].balanceAfter.minorUnits] | join(" ")' <<<"$page") "
    jq -r '.transactions[] | "\(.type) \(.amount.display), then \(.balanceAfter.display)"' <<<"$page" |
        while read -r line; do say statement "$line"; done
    page_token=$(jq .nextPageToken <<<"$page")
    [[ $page_token != '""' ]] || break
done
expect "entries per page" "$pages" "2 1 "
expect "balances after each entry, newest first" "$balances" "5766 7000 10000 "

# A refusal by the rules: a client decides by the reason, people read the message.
status=$(refusal "$FAILED_PRECONDITION" Withdraw <<JSON
{"request_id": "$(new_id)", "account_id": "$alice", "amount": $(eur 100000)}
JSON
)
info=$(detail ErrorInfo <<<"$status")
expect reason "$(jq -r '"\(.domain) \(.reason) \(.metadata.applied)"' <<<"$info")" "counterfoil INSUFFICIENT_FUNDS false"
unmet=$(detail PreconditionFailure <<<"$status")
expect precondition "$(jq -r '.violations[].type' <<<"$unmet")" INSUFFICIENT_FUNDS
say refused "$(jq -r .reason <<<"$info") $(jq -c .metadata <<<"$info"): $(jq -r '.violations[].description' <<<"$unmet")"

# A request that can never be right: every wrong field is named at once.
status=$(refusal "$INVALID_ARGUMENT" Deposit <<JSON
{"request_id": "not-a-uuid", "account_id": "$alice", "amount": $(eur -1)}
JSON
)
wrong=$(detail BadRequest <<<"$status")
expect "wrong fields" "$(jq -r '[.fieldViolations[].field] | sort | join(" ")' <<<"$wrong")" \
    "amount.minor_units request_id"
jq -r '.fieldViolations[] | "\(.field): \(.reason), \(.description)"' <<<"$wrong" |
    while read -r line; do say wrong "$line"; done

# Several commands in one call, each by itself: one that is refused does not stop those after it.
# moved_by_bob <deposit|withdraw> <cents> [<request id>]
moved_by_bob() { printf '{"%s": {"request_id": "%s", "account_id": "%s", "amount": %s}}' "$1" "${3:-}" "$bob" "$(eur "$2")"; }
batch=$(write_service ExecuteBatch <<JSON
{"mode": "BATCH_MODE_INDEPENDENT", "commands": [$(moved_by_bob deposit 500 "$(new_id)"),
  $(moved_by_bob withdraw 9000 "$(new_id)"), $(moved_by_bob deposit 100 "$(new_id)")]}
JSON
)
expect outcomes "$(jq -r '[.results[] | keys[]] | join(" ")' <<<"$batch")" "deposit error deposit"
reason=$(jq '.results[1].error' <<<"$batch" | detail ErrorInfo | jq -r .reason)
expect reason "$reason" INSUFFICIENT_FUNDS
after=$(jq '.results[2].deposit.account.balance' <<<"$batch")
expect balance "$(jq -r .minorUnits <<<"$after")" 3600
say batch "deposit, $reason, deposit: $bob has $(jq -r .display <<<"$after")"

# All or none: the commands have no request_id, the batch has one. Refused, nothing of it is kept.
atomic_id=$(new_id)
atomic() {
    printf '{"mode": "BATCH_MODE_ATOMIC", "request_id": "%s", "commands": [%s, %s]}' "$atomic_id" \
        "$(moved_by_bob deposit 400)" "$(moved_by_bob withdraw "$1")"
}
status=$(refusal "$FAILED_PRECONDITION" ExecuteBatch < <(atomic 9000))
info=$(detail ErrorInfo <<<"$status")
expect reason "$(jq -r '"\(.reason) \(.metadata.index) \(.metadata.command_reason)"' <<<"$info")" \
    "BATCH_REFUSED 1 INSUFFICIENT_FUNDS"
all=$(write_service ExecuteBatch < <(atomic 4000))
fresh="{\"at_least_as_fresh\": $(jq .consistencyToken <<<"$all")}"
balance=$(read_service GetBalance <<<"{\"account_id\": \"$bob\", \"consistency\": $fresh}")
expect balance "$(jq -r .balance.minorUnits <<<"$balance")" 0
say "all of it" "$(jq -r .reason <<<"$info"), then applied: $bob has $(jq -r .balance.display <<<"$balance")"

# Commands as they come: many may be outstanding, and answers come in the order sent.
answers=$(for cents in 1 2 3 4 5; do
    echo "{\"command\": $(moved_by_bob deposit "$cents" "$(new_id)")}"
done | write_service ExecuteStream)
expect amounts "$(jq -rs '[.[].result.deposit.transaction.amount.minorUnits] | join(" ")' <<<"$answers")" "1 2 3 4 5"
say stream "5 deposits: $bob has $(jq -rs '.[-1].result.deposit.account.balance.display' <<<"$answers")"
