// A household's money through Counterfoil, with the contract's .proto files loaded as they are.
'use strict';

const { randomUUID } = require('node:crypto');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const health = require('grpc-health-check');

// Also how long a query waits for `at_least_as_fresh`. Without a deadline a call may wait for ever.
const DEADLINE_MS = 5000;

// Safe for commands too: the repeated call has the same request_id, so it is decided once.
const RETRY_UNAVAILABLE = JSON.stringify({
  methodConfig: [{
    name: [{}],
    retryPolicy: {
      maxAttempts: 4, initialBackoff: '0.1s', maxBackoff: '1s', backoffMultiplier: 2,
      retryableStatusCodes: ['UNAVAILABLE'],
    },
  }],
});

const definition = protoLoader.loadSync(
  ['counterfoil/write/v1/write_service.proto', 'counterfoil/read/v1/read_service.proto', 'google_rpc.proto'],
  {
    includeDirs: [path.join(__dirname, '../../../proto'), path.join(__dirname, '..')],
    keepCase: true, // the contract's own field names
    longs: String, // an int64 may be more than a number holds; BigInt(...) to calculate with it
    enums: String,
    defaults: true,
  });
const { counterfoil } = grpc.loadPackageDefinition(definition);
const HealthClient = grpc.makeClientConstructor(health.service, 'Health');

// One unary call as a promise.
function call(client, method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, { deadline: Date.now() + DEADLINE_MS },
      (error, response) => (error ? reject(error) : resolve(response)));
  });
}

// Sends all on one stream, and gives the answers, which come in the same order.
async function streamed(client, method, requests) {
  const stream = client[method]({ deadline: Date.now() + DEADLINE_MS });
  for (const request of requests) stream.write(request);
  stream.end();
  const answers = [];
  for await (const answer of stream) answers.push(answer);
  return answers;
}

// A client for a server that is ready.
async function connect(Client, service, address) {
  const credentials = grpc.credentials.createInsecure();
  const healthClient = new HealthClient(address, credentials);
  const { status } = await call(healthClient, 'check', { service });
  healthClient.close();
  expect(service, status, 'SERVING');
  return new Client(address, credentials, { 'grpc.service_config': RETRY_UNAVAILABLE });
}

// The details of a google.rpc.Status, by the name of their type.
function detailsOf(status) {
  const details = {};
  for (const { type_url: typeUrl, value } of status.details) {
    const type = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
    details[type] = definition[type].deserialize(value);
  }
  return details;
}

// Sends what must be refused; gives the code and the details by the name of their type.
async function refusal(client, method, request) {
  const error = await call(client, method, request).then(
    () => { throw new Error(`${method} was accepted, and should have been refused`); }, (refused) => refused);
  if (!error.metadata) throw error;
  const [status] = error.metadata.get('grpc-status-details-bin');
  return { code: error.code, details: detailsOf(definition['google.rpc.Status'].deserialize(status)) };
}

function expect(what, found, expected) {
  if (isDeepStrictEqual(found, expected)) return;
  throw new Error(`${what} is ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
}

function say(what, text) {
  console.log(`${what.padEnd(10)} ${text}`);
}

const eur = (cents) => ({ currency_code: 'EUR', minor_units: cents });

async function main() {
  const write = await connect(counterfoil.write.v1.WriteService, 'counterfoil.write.v1.WriteService',
    process.env.WRITE_SERVICE_ADDR ?? '127.0.0.1:50051');
  const read = await connect(counterfoil.read.v1.ReadService, 'counterfoil.read.v1.ReadService',
    process.env.READ_SERVICE_ADDR ?? '127.0.0.1:50052');
  say('health', 'both services are serving');

  const household = randomUUID().slice(0, 8);
  const [alice, bob] = [`alice-${household}`, `bob-${household}`];
  for (const account_id of [alice, bob]) {
    await call(write, 'OpenAccount', {
      request_id: randomUUID(), account_id, owner_id: `household-${household}`, currency_code: 'EUR',
    });
  }
  say('opened', `${alice}, ${bob}`);

  const deposit = { request_id: randomUUID(), account_id: alice, amount: eur(100_00), reference: 'salary' };
  const first = await call(write, 'Deposit', deposit);
  say('deposited', `${first.transaction.amount.display} EUR, now ${first.account.balance.display}`);
  // What a client does that lost the answer: the same again. The outcome comes from the log.
  const again = await call(write, 'Deposit', deposit);
  expect('replayed', [first.write.replayed, again.write.replayed], [false, true]);
  expect('transaction of the replay', again.transaction, first.transaction);
  say('again', `replayed: still transaction ${again.transaction.transaction_id}`);

  const sent = await call(write, 'Transfer', {
    request_id: randomUUID(), source_account_id: alice, destination_account_id: bob, amount: eur(30_00),
  });
  say('sent', `${sent.transaction.amount.display} EUR, ${bob} has ${sent.destination_account.balance.display}`);
  const paid = await call(write, 'PayBill', {
    request_id: randomUUID(), account_id: alice, amount: eur(12_34), payee: 'City Power',
  });
  say('paid', `${paid.transaction.amount.display} EUR to ${paid.transaction.counterparty}`);

  // The token makes the query wait until its answer includes the bill.
  const consistency = { at_least_as_fresh: paid.write.consistency_token };
  const { balance, version } = await call(read, 'GetBalance', { account_id: alice, consistency });
  expect('balance', balance.minor_units, '5766');
  say('balance', `${balance.display} EUR at version ${version}`);

  const statement = [];
  const pages = [];
  let page_token = '';
  do {
    const page = await call(read, 'ListTransactions', { account_id: alice, page_size: 2, page_token, consistency });
    pages.push(page.transactions.length);
    statement.push(...page.transactions);
    page_token = page.next_page_token;
  } while (page_token);
  expect('entries per page', pages, [2, 1]);
  expect('statement', statement.map((entry) => entry.balance_after.minor_units), ['5766', '7000', '10000']);
  for (const entry of statement) {
    say('statement', `${entry.type} ${entry.amount.display}, then ${entry.balance_after.display}`);
  }

  // A refusal by the rules: a client decides by the reason, people read the message.
  const poor = await refusal(write, 'Withdraw', {
    request_id: randomUUID(), account_id: alice, amount: eur(1_000_00),
  });
  expect('code', poor.code, grpc.status.FAILED_PRECONDITION);
  const info = poor.details['google.rpc.ErrorInfo'];
  expect('reason', [info.domain, info.reason], ['counterfoil', 'INSUFFICIENT_FUNDS']);
  expect('applied', info.metadata.applied, 'false');
  const [unmet] = poor.details['google.rpc.PreconditionFailure'].violations;
  expect('precondition', unmet.type, 'INSUFFICIENT_FUNDS');
  say('refused', `${info.reason} ${JSON.stringify(info.metadata)}: ${unmet.description}`);

  // A request that can never be right: every wrong field is named at once.
  const bad = await refusal(write, 'Deposit', { request_id: 'not-a-uuid', account_id: alice, amount: eur(-1) });
  expect('code', bad.code, grpc.status.INVALID_ARGUMENT);
  const wrong = bad.details['google.rpc.BadRequest'].field_violations;
  expect('wrong fields', wrong.map(({ field }) => field).sort(), ['amount.minor_units', 'request_id']);
  for (const { field, reason, description } of wrong) say('wrong', `${field}: ${reason}, ${description}`);

  // Several commands in one call, each by itself: one that is refused does not stop those after it.
  const depositToBob = (cents, own = {}) => ({ deposit: { account_id: bob, amount: eur(cents), ...own } });
  const withdrawFromBob = (cents, own = {}) => ({ withdraw: { account_id: bob, amount: eur(cents), ...own } });
  const { results } = await call(write, 'ExecuteBatch', {
    mode: 'BATCH_MODE_INDEPENDENT',
    commands: [
      depositToBob(5_00, { request_id: randomUUID() }), withdrawFromBob(90_00, { request_id: randomUUID() }),
      depositToBob(1_00, { request_id: randomUUID() }),
    ],
  });
  expect('outcomes', results.map((result) => Object.keys(result)), [['deposit'], ['error'], ['deposit']]);
  const { reason } = detailsOf(results[1].error)['google.rpc.ErrorInfo'];
  expect('reason', reason, 'INSUFFICIENT_FUNDS');
  const after = results[2].deposit.account.balance;
  expect('balance', after.minor_units, '3600');
  say('batch', `deposit, ${reason}, deposit: ${bob} has ${after.display}`);

  // All or none: the commands have no request_id, the batch has one. Refused, nothing of it is kept.
  const atomic = { mode: 'BATCH_MODE_ATOMIC', request_id: randomUUID() };
  const none = await refusal(write, 'ExecuteBatch', {
    ...atomic, commands: [depositToBob(4_00), withdrawFromBob(90_00)],
  });
  expect('code', none.code, grpc.status.FAILED_PRECONDITION);
  const why = none.details['google.rpc.ErrorInfo'];
  expect('reason', why.reason, 'BATCH_REFUSED');
  expect('refused command', [why.metadata.index, why.metadata.command_reason], ['1', 'INSUFFICIENT_FUNDS']);
  const all = await call(write, 'ExecuteBatch', {
    ...atomic, commands: [depositToBob(4_00), withdrawFromBob(40_00)],
  });
  const spent = await call(read, 'GetBalance', {
    account_id: bob, consistency: { at_least_as_fresh: all.consistency_token },
  });
  expect('balance', spent.balance.minor_units, '0');
  say('all of it', `${why.reason}, then applied: ${bob} has ${spent.balance.display}`);

  // Commands as they come: many may be outstanding, and answers come in the order sent.
  const amounts = Array.from({ length: 100 }, (_, index) => String(index + 1));
  const answers = await streamed(write, 'ExecuteStream',
    amounts.map((cents) => ({ command: depositToBob(cents, { request_id: randomUUID() }) })));
  const deposits = answers.map(({ result }) => result.deposit);
  expect('amounts', deposits.map(({ transaction }) => transaction.amount.minor_units), amounts);
  say('stream', `${deposits.length} deposits: ${bob} has ${deposits.at(-1).account.balance.display}`);

  write.close();
  read.close();
}

main().catch((error) => {
  console.error(`surprise: ${error.message}`);
  process.exit(1);
});
