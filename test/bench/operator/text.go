package main

// head is what the section begins with: when and how it was measured, and what the figures mean.
const head = `## How does the operator scale?

This section is written by 'make bench-operator'.

Measured on %s by '%s': %s, on %s (%s/%s, %s), which everything shares.

A real API server with its etcd (which does not wait for the disk), the ledger (SQLite, over TLS) and the manager as a cluster runs it,
under the rights of its own role, are processes of their own on the loopback interface. There are %d routes with %d consumers each; %d of
them have a real proxy, the others a session at the ledger in place of one. The bare client has the manager’s rights and makes as many
requests at a time, %d; it writes the same objects straight after the manager. Each of %d changes of one route at a time is counted from the
moment at which it is sent to the API server.

`

// tail explains the rows.
const tail = `
Requests are counted by the API server. A try is a write that is asked not to be kept. The manager also writes each route’s status, looks
for Secrets of keys that a route may have had, and tells the ledger; the bare client does nothing of that. Memory is resident. The figures
of one run are a measure only where nothing else works on the machine.
`
