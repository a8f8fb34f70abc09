// Package faults tests what Tokenwire promises while everything around it breaks: nodes that are killed or stand still, a
// database, hosts of a cluster and a bus that come and go, networks that lose one way or both. It has tests only.
//
// Load comes from outside, through the public client and the doors, and all that is seen is recorded (record). Faults
// (fault) are put in and taken back, in an order that a seed decides. Oracles hold the record against the promises:
//
//  1. a verification accepts nothing that was taken away before it began: from the receipt on, and without one from the lease on;
//  2. whoever follows a user's events has each of them once, in order, over any number of connections, and no other's;
//  3. what was answered is in the database, what was refused is not, what is not known is there wholly or not at all, and
//     events match changes one to one;
//  4. a credential that never was one, or has ended, is never accepted;
//  5. after quiet no goroutine, descriptor, lock or memory is left.
//
// Each oracle is shown records that break its promise, and a program that does.
//
// TOKENWIRE_TEST_LONG=1h has the faults go on for an hour; TOKENWIRE_TEST_SEED=<number> repeats their order.
package faults
