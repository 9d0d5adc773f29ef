//! The end: both sides in one table, and the judgement over the server's journal.

use larder::Model;

use super::Story;
use crate::models::Issue;
use crate::process::Problem;
use crate::server::{Break, Kind};
use crate::table::Table;

impl Story {
    /// True if nothing differs, nothing was lost and nothing was done twice.
    pub(super) async fn verdict(mut self) -> Result<bool, Problem> {
        self.timeline.chapter("Both sides, row by row");
        if self.args.lie == Some(Break::Differ) {
            self.server.alter(Kind::Issue, &self.cast.moved);
            self.timeline.say("--break", "the server changes a row behind everybody's back");
        }
        let local = self.client()?.rows().await?;
        if let Some(client) = self.client.take() {
            client.quit().await?;
        }
        let table = Table::compare(&self.server.snapshot(), &local, &self.gone)?;
        println!("\n{table}");
        let (differing, rows) = (table.differing(), table.rows());
        if differing > 0 {
            self.trouble.push(format!("server and client differ in {differing} of {rows} rows"));
        }
        self.unknown_fields();
        let verdict = self.server.journal().judge(&self.expected);
        if verdict.is_clean() {
            let expected = self.expected.len();
            println!("      journal    {expected} mutations were made, and each was applied exactly once");
        } else {
            self.trouble.extend(verdict.to_string().lines().map(str::to_owned));
        }
        for trouble in &self.trouble {
            println!("      PROBLEM    {trouble}");
        }
        Ok(self.trouble.is_empty())
    }

    /// What the server's issues have and the model has not must be as it was: a `PUT` that left it out would remove it.
    fn unknown_fields(&mut self) {
        let known = |name: &str| Issue::schema().fields.iter().any(|field| field.name == name);
        let mut intact = 0;
        for issue in self.server.snapshot().issues {
            let Some(seed) = self.seeds.issues.iter().find(|seed| seed.get("id") == issue.get("id")) else {
                continue;
            };
            for (name, value) in seed.iter().filter(|(name, _)| !known(name)) {
                if issue.get(name) == Some(value) {
                    intact += 1;
                } else {
                    self.trouble.push(format!(
                        "issue {} lost its {name}, which the model does not know",
                        issue["id"]
                    ));
                }
            }
        }
        println!("      issues     {intact} values of fields that the model does not know are as they were");
    }
}
