//! The gateway as a sandbox meets it: each test has a network namespace of its own, where every address is local, and
//! unmodified clients in it. Servers have addresses that look public and are on the same loopback interface.

mod attacks;
mod bounds;
mod clients;
mod passed;
mod place;
mod secrets;
mod servers;
mod world;
