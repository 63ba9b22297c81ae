//! Tests of the file functions.
