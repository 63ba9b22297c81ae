//! The command line as a program: what it prints where, how it ends, and what it leaves behind.

mod cache;
mod check;
mod damage;
mod environment;
mod explain;
mod inputs;
mod look_after;
mod manifest;
mod messages;
mod mistakes;
mod names;
mod odd;
mod out;
mod platforms;
mod programs;
mod record;
mod run;
mod signed;
mod support;
mod tell;
mod trust;
mod wast;
