//! The command line as a person sees it: commands, their output and exit code, recorded in
//! `tests/cmd`. `TRYCMD=overwrite` records what the program says now.
//!
//! Commands of a file run in the folder beside it with the same name and `.in`.

#[test]
fn the_command_line_says_what_is_recorded() {
    trycmd::TestCases::new().env("COLUMNS", "100").env("NO_COLOR", "1").case("tests/cmd/*.trycmd");
}
