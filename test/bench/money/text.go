package main

import "github.com/modelroute/modelroute/test/bench/rig"

var pageHead = rig.Prose(`## Do budgets hold?

This section is written by 'make bench-money'.

Measured on %s by '%s': %d runs, %d scenarios in %s, on %d cores (%s/%s, %s), which everything shares.

Three proxies, the ledger and an upstream that keeps the true books run as processes of their own on the loopback interface, the ledger
over TLS. %d clients, half of them streaming, one in twenty without a completion limit, spend for %s while things go wrong, and go on
until the money is gone. Then all limits are doubled, they spend again, and the end comes in the middle of that. One budget is the route’s,
five are consumers’; two of these run out early. The truth is what the upstream billed.
`)

const pageTableHead = "| scenario | route budget $ | overshoot $ | lost $ | stranded at the end $ | back after | uncertain, not spent $ " +
	"| false denials | cautious denials | could be spent | holds/s | 429 | 503 | broken |\n" +
	"| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n"

var pageBound = rig.Prose(`
'lost-pod' loses two proxies, one in each part of the load. What they had drawn of the route’s budget and not reported was at most
$ %s, and all of it was free again once the ledger was told to give up on them. A proxy keeps no more than twice what it held within two
seconds, at the worst case of each request, beside what is under way: that bounds what it can strand.
`)

var pagePace = rig.Prose(`One request after the other, in turn directly to the upstream and through a proxy that holds, journals,
settles and logs it (%d each):

| | p50 | p99 |
| --- | --: | --: |
| directly | %s | %s |
| through a proxy | %s | %s |
| added | %s | %s |

At full load, with clients and upstream on the same cores, the three proxies served %.0f requests per second. A reservation on a warm
slice, with its record in the journal, takes %d ns and %.1f allocations (the mean of many, in one goroutine).
`)

var pageFoot = rig.Prose(`
### The columns

Over several runs each number is the worst, but for holds/s, which is the median, and for what is counted, which is the sum.

* **overshoot**: what was really spent in a budget above its limit, in the budget where that is most. It must be 0.
* **lost**: what was really spent and is neither settled nor uncertain in the ledger’s books. It must be 0.
* **stranded at the end**: what was out with proxies or counted as spent in the route’s budget, and was not spent, when the load ended:
  in 'steady' when the last client had gone, else while the proxies were dead, or at the moment of SIGTERM, when requests were under way.
* **back after**: how long it took until nothing was out any more: by itself when idle ('steady'), since the restart of the killed
  proxies ('kill-proxies', 'kill-both'), until what the lost proxy had was shown as uncertain ('lost-pod'), else since SIGTERM, with the
  requests that were still to be answered.
* **uncertain, not spent**: what the books count as spent at the very end and the upstream did not bill: requests that were under way at a
  proxy that was killed, answers that broke off, and what a lost proxy had drawn. They count at their worst case until somebody asks the
  upstream, or gives up on the lost proxy.
* **false denials**: answers '402' to requests for which enough was left, both by the upstream’s books and by what the ledger counted as
  spent then. **cautious denials**: those for which enough was left by the upstream’s books, but not beside what is uncertain, which counts
  as spent. Where something uncertain stays, every request is one that comes after the other money is gone.
* **could be spent**: how much of the route’s first limit was really spent when no more could be.
* **holds/s**: requests that were sent upstream, per second until then. The clients think between two requests: it is what was asked for,
  not what is possible.
* **429**: the money was held by others for two seconds. **503**: the ledger could not be asked. **broken**: connections to killed proxies,
  and answers that stopped.

In 'network' and 'lost-pod' a proxy counts as silent after 3 s instead of 30.
`)
