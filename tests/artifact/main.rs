//! Artifacts: damaged ones, those made for others, and what tools make of them.

mod damage;
mod handlers;
mod levels;
mod raw;
mod refuse;
mod stack_maps;
mod tools;
