//! A static file server in the place of nginx: GET and HEAD of the files of
//! one folder, with ranges, validators and a graceful stop.
//!
//! The folder is only ever read. What a symbolic link in it may lead to is the
//! host's decision, which gives the guest its folders.

pub mod config;
pub mod server;

mod answer;
mod body;
mod mime;
mod path;
mod patience;
mod range;
mod site;
mod validators;
