//! WebAssembly's operators as CLIF, a file for each family.
