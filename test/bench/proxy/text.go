package main

import "github.com/modelroute/modelroute/test/bench/rig"

var reportHead = rig.Prose(`## What does the proxy cost?

This section is written by 'make bench-proxy'.

Measured on %s by '%s': %d rounds in %s, on %s (%s/%s, %s), which everything shares, the load generator and the upstream included.

A fast upstream, what stands before it, and the load generator run as processes of their own on the loopback interface. In each round every
way to the upstream is measured in turn; a figure is the median over the rounds of what was measured in each (least – most). What is added
is the difference to the way without anything in between, in the same round.

* **nginx** is Debian’s, as a plain reverse proxy, with connections to the upstream kept and no log.
* **empty Go proxy** is a handler and a pooled transport of 'net/http', and nothing else.
* **ModelRoute** is 'cmd/proxy' with everything on: keys, parameters checked, defaults, a budget of the route and one of the consumer that
  deny, a rate limit in requests and in tokens, the journal, metrics, the access log into a file, and the ledger (SQLite, over TLS) beside
  it.

Latency is at one connection, throughput at %d. The first token is timed on streams at one connection, and what is added per token is the
longer way of the frames behind it, each of which says when it was sent. %d streams are held at once, with a frame every %s and %d frames
each, in %d of the rounds.

`)

var reportFoot = rig.Prose(`
Processor time is that of the proxy’s own process at full load. Memory is resident; idle is before the first request, and after it is when
nothing has come for a while.
`)

// nginxConfig is for the directory of its files, its address, and the upstream's.
const nginxConfig = `worker_processes auto;
worker_rlimit_nofile 16384;
pid %[1]s/nginx.pid;
daemon off;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxied;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000000;
  upstream fast {
    server %[3]s;
    keepalive 512;
    keepalive_requests 1000000000;
  }
  server {
    listen %[2]s backlog=4096;
    client_max_body_size 32m;
    location / {
      proxy_pass http://fast;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`
