//! Drives the real `aido` as a person would. `ci/test` runs it as root and as ordinary users; by hand:
//! `cargo test --test e2e`. Where something is missing a test says so and is left out, and
//! `AIDO_MUST_WORK=1` makes that a failure.

#[macro_use]
mod host;
#[macro_use]
mod engine;
#[macro_use]
mod tmux;
mod chain;
mod family;
mod ground;
mod output;
mod project;
mod relay;
mod running;
mod seat;
mod session;
#[macro_use]
mod world;

mod ahead;
mod applied;
mod cloned;
mod completed;
mod config;
mod crash;
mod docker;
mod docs;
mod doctor;
mod escape;
mod evidence;
mod examples;
mod explained;
mod faults;
mod files;
mod forks;
mod full_disk;
mod hostile;
mod images;
mod imports;
mod json;
mod keeper;
mod late;
mod limits;
mod logs;
mod mistakes;
mod mutations;
mod names;
mod network;
mod network_attacks;
mod network_clients;
mod older;
mod overlay;
mod owners;
mod planted;
mod policy;
mod progress;
mod prune;
mod recorded;
mod refused;
mod registry;
mod run;
mod sandbox;
mod seal;
mod secrets;
mod setup;
mod store;
mod terminal;
mod together;
mod ttl;
mod ui;
mod ui_views;
mod verify;
mod watchdog;
