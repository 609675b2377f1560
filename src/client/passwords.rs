//! stub
use super::exit::Failure;
use crate::wire::{Password, UserName};
use std::path::Path;
pub fn new(_user: &UserName, file: Option<&Path>) -> Result<Password, Failure> {
    let text = match file {
        Some(f) => std::fs::read_to_string(f).unwrap(),
        None => {
            let mut s = String::new();
            std::io::stdin().read_line(&mut s).unwrap();
            s
        }
    };
    Ok(Password::parse(text.trim_end()).unwrap())
}
