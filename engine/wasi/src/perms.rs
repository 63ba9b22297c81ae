//! What a preopened directory allows, for itself and all below it.

use std::ops::{BitAnd, BitOr};

macro_rules! permissions {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $flag:ident = $bit:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $name(u8);

        impl $name {
            $($(#[$doc])* pub const $flag: Self = Self($bit);)*

            /// Nothing.
            pub const fn empty() -> Self {
                Self(0)
            }

            /// Everything.
            pub const fn all() -> Self {
                Self($($bit |)* 0)
            }

            /// Whether all of `other` is allowed.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitAnd for $name {
            type Output = Self;
            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }
    };
}

permissions! {
    /// What may be done with the names in a preopened directory.
    DirPerms {
        /// List it, look up and open what is in it.
        READ = 1;
        /// Create, remove, rename and link names; change times.
        MUTATE = 2;
    }
}

permissions! {
    /// What may be done with the contents of the files in a preopened directory.
    FilePerms {
        /// Read them.
        READ = 1;
        /// Write, truncate and extend them; change their times.
        WRITE = 2;
    }
}
