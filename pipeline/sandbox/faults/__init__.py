r"""The fault plan: on which call the sandbox misbehaves, and how. Off unless a plan is given.

Belongs here: the format (below, and as structs in `rules`), counting and choosing (`engine`), damaged documents
(`documents`) and damaged connections (`wire`). What a fault changes about a batch is stored with the batch in `submit`,
what it changes about the batch's webhook event with the event in `pipeline.sandbox.events`.

A plan is a JSON object `{"rules": [RULE, …]}`, given with `--fault-plan FILE` (`SandboxConfig.fault_plan`) or put by
HTTP to `/sandbox/faults`. Rules are looked at in their order. Two examples:

    {"rules": [{"call": "POST /v3/batches", "nth": [2], "do": "drop", "when": "after"},
               {"call": "GET /v3/batches/{id}/results", "each": true, "nth": [1], "do": "missing_items", "at": [0, 7]}]}

The second POST is accepted and charged, then the connection closes without an answer. The first results document of
each batch lacks its items 0 and 7; the next one is sound.

    {"rules": [{"call": "POST /v3/batches", "ids": ["tx-17"], "do": "batch_error"},
               {"call": "POST /v3/batches", "ids": ["tx-3"], "to": 2, "do": "item_error", "code": "model_overloaded"},
               {"call": "*", "share": 0.05, "times": 20, "do": "status", "status": 503}]}

Any batch that holds tx-17 ends in error. tx-3 fails the first two times that it is sent. A twentieth of all calls, but
at most 20 of them, is answered 503 without being looked at.

**Which calls** (all that are given must hold; none given: every call)

    call     "METHOD /route" with {id} as in `routes`, or "*" for every route under /v3. Required.
    ids      only calls about one of these ids. POST /v3/batches: it sends one of them; /v3/batches/{id}…: the batch
             holds one of them; /v3/transactions…, /v3/account_holders… and {id} of webhooks, reports and bank
             statements: it is about one of them.
    batches  /v3/batches/{id}… only: these batches, by number (counted from 1 over the state) or by id.
    nth      [n, …] the n-th call, counted from 1 since the plan was put, over calls that pass call, ids and batches.
    from, to first and last such number.
    every    every k-th such number: k, 2k, …
    share    this share of them, 0 to 1, drawn by hash of seed, rule, id and number.
    times    at most so often.
    each     true: number, share and times run for each id by itself: the {id} of the route, or each of `ids`.

What is counted: for the faults of answers, calls that arrived whole; for those of batches, webhooks and items, what was
accepted (item_invalid: would have been); for those of documents, answers of 200. Counts are in the state file: servers
on one state count together, and a restart goes on counting. All keys count together.

**Faults of answers.** Waits before, then the first of drop and status, then waits after, then dribble or truncate.
Seconds are real ones here, as HTTP time-outs are.

    drop      {when: before|after, how: close|reset}  close the connection without an answer, before or after the
              request was processed; `how` is FIN (default) or RST. A dropped POST that was accepted is charged.
    delay     {seconds, when}  wait before it is processed (a client that has gone still gets its batch, late), or
              after (the batch exists at once, the answer is late).
    status    {status, when = before, retry_after, detail, items = [i, …], field = "amount", page}  any status, with
              or without Retry-After (number or text); `items` makes the detail of a 422 with loc [body, data, i,
              field]; `page: true` sends a proxy's HTML page in place of JSON.
    dribble   {seconds, pieces = 10}  the body comes in pieces over that time.
    truncate  {keep = 0.5, how: length|chunked|json}  only that share of the body comes: `length` announces the whole
              and closes, `chunked` closes without the last chunk, `json` is sound HTTP around cut JSON.
    skew      {seconds}  the server's clock is that much ahead (negative: behind) for this call: `Date`, created_at of
              what the call creates (which is also what created_after and created_before are compared with).

**Faults of batches**, decided when POST /v3/batches is accepted. Seconds are documented ones, and scaled.

    batch_error      {}  it ends in error.
    batch_never_ends {}  it stays processing.
    batch_slow       {factor}  it takes that many times as long.
    batch_hidden     {seconds, by_id = false}  for that long it is not in GET /v3/batches; by_id: nor found by GET.
    batch_expires    {seconds, what: results|batch}  so long after its end its results, or all of it, answer 404.

**Faults of webhooks**, decided when POST /v3/batches is accepted: of the event that tells of this batch's end, for all
webhooks alike. Seconds are documented ones, and scaled. No answer, a 500 or a redirect are the receiver's to play.

    webhook_lost       {}  it is never sent.
    webhook_late       {seconds}  it is sent that long after the batch's end.
    webhook_repeated   {copies = 2, seconds = 0}  it is sent that many times under one `event_id`, whatever is answered,
                       with that long between two; each copy has its own retries.
    webhook_reordered  {behind = 1, seconds = 3600}  it is sent once that many events of the key which were due after it
                       have been sent (answered, or tried once), and after that long anyway.
    webhook_early      {seconds, show: nothing|processing}  it is sent that long before the API shows what it tells:
                       GET /v3/batches and /v3/batches/{id} do not know the batch (404) from its creation until then,
                       or still call it processing. Its results follow GET: 404, or 409.

**Faults of items**, for POST /v3/batches and POST /v3/transactions. `ids` is required, and `each` is always on.

    item_error    {code = "internal_error", message}  the item's `error`. It is charged all the same.
    item_invalid  {field = "description"}  the whole POST is a 422 with loc [body, data, i, field]; nothing is charged.

**Faults of documents**: changes of an answer of 200. Items are `results`, or `data` of a list. `at` picks positions
(default [0]; "all"); with `ids`, the items of these ids are picked instead.

    set              {path, value}  set a value of the document; paths are dotted: "total", "data.0.status".
    set_items        {path, value, at}  the same in items: "id", "entities.counterparty.type"; "" is the whole item.
    null_items       {at}
    missing_items    {at}
    duplicate_items  {at}  each stands twice.
    reordered_items  {}  last one first.
    extra_items      {give = ["foreign-0"]}  copies of the first item with these ids, at the end.
    wrong_total      {by = 1}
    unknown_fields   {}  one more field in the document, in every item and in each section of every item.
    lone_surrogate   {path = "entities.counterparty.name", at}  the text ends with the escape \ud800.
    bad_utf8         {path, at}  the same with bytes that are no UTF-8.
    padding          {factor = 10}  an unknown field makes the document that many times as large.

Unknown enum values, wrong types, unknown statuses and `next_cursor` are `set` and `set_items`.

**By HTTP**, from this machine only, no key: GET `/sandbox/faults` shows the plan and what each rule has seen and done;
PUT replaces the plan and starts counting at zero, 422 names rule and field; DELETE ends it. A plan lives in the state
file until then, whether or not a server is started with a file. A file is taken once: to start again with the same file
changes nothing, so a restart neither resets counts nor undoes a PUT or DELETE. `Books.faults()` lists every firing,
also those of earlier plans.
"""
