//! How people start meterlake: arguments, settings, progress and one file per command.

pub mod init;
pub mod settings;
