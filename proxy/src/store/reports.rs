//! Sums over the audit rows: per run, per agent, and per vendor and day.

use keybrake_core::report::{self, Agents, Figures, RunFigures};
use rusqlite::{Connection, functions::FunctionFlags, params_from_iter, types::Value};

use super::{
    StoreError,
    reader::{CallFilter, Readers, conditions},
    rows::{self, Columns},
};

/// What an agent's calls came to.
#[derive(Clone, Debug)]
pub struct AgentFigures {
    /// The agent; `None` for calls that name none.
    pub agent: Option<String>,
    /// In how many runs' calls it is named.
    pub runs: u64,
    /// Its calls.
    pub figures: Figures,
}

/// What the calls to a vendor came to on one day.
#[derive(Clone, Debug)]
pub struct VendorFigures {
    /// The day in UTC on which they were first begun, as `YYYY-MM-DD`.
    pub day: String,
    /// The vendor.
    pub vendor: String,
    /// The calls.
    pub figures: Figures,
}

/// Which rows of a report to give.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// How many come before.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
}

/// How a report groups calls, and in which order it gives the groups.
struct Grouping {
    columns: &'static str,
    by: &'static str,
    order: &'static str,
}

const RUNS: Grouping = Grouping {
    columns: "k.label, count(DISTINCT agent(c.context)), min(agent(c.context))",
    by: "k.label",
    order: "spent DESC, k.label",
};

const AGENTS: Grouping = Grouping {
    columns: "agent(c.context) AS agent, count(DISTINCT k.label)",
    by: "agent(c.context)",
    order: "spent DESC, agent",
};

const VENDORS: Grouping = Grouping {
    columns: "date(c.at / 1000000, 'unixepoch') AS day, c.vendor",
    by: "day, c.vendor",
    order: "day DESC, spent DESC, c.vendor",
};

/// Teaches a connection to read the agent out of a context.
pub(super) fn add_functions(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("agent", 1, flags, |context| {
        let context: Option<String> = context.get(0)?;
        Ok(context.as_deref().and_then(report::agent).map(str::to_owned))
    })?;
    Ok(())
}

impl Readers {
    /// What each run came to, by those of its calls that fit the filter: those that spent most
    /// first.
    pub fn runs(&self, filter: &CallFilter, part: Part) -> Result<Vec<RunFigures>, StoreError> {
        let named = |columns: &mut Columns<'_>| {
            let label = columns.get()?;
            let (count, first): (_, Option<String>) = (columns.count()?, columns.get()?);
            let only = || first.map_or(Agents::None, Agents::One);
            Ok((label, if count > 1 { Agents::Several } else { only() }))
        };
        let found = self.sums(&RUNS, filter, part, named)?.into_iter();
        Ok(found.map(|(figures, (label, agents))| RunFigures { label, agents, figures }).collect())
    }

    /// What the calls of each agent came to: those that spent most first.
    pub fn agents(&self, filter: &CallFilter, part: Part) -> Result<Vec<AgentFigures>, StoreError> {
        let named = |columns: &mut Columns<'_>| Ok((columns.get()?, columns.count()?));
        let found = self.sums(&AGENTS, filter, part, named)?.into_iter();
        Ok(found.map(|(figures, (agent, runs))| AgentFigures { agent, runs, figures }).collect())
    }

    /// What the calls to each vendor came to on each day: the last day first.
    pub fn vendors(
        &self,
        filter: &CallFilter,
        part: Part,
    ) -> Result<Vec<VendorFigures>, StoreError> {
        let named = |columns: &mut Columns<'_>| Ok((columns.get()?, columns.get()?));
        let found = self.sums(&VENDORS, filter, part, named)?.into_iter();
        Ok(found.map(|(figures, (day, vendor))| VendorFigures { day, vendor, figures }).collect())
    }

    fn sums<T>(
        &self,
        grouping: &Grouping,
        filter: &CallFilter,
        part: Part,
        group: impl Fn(&mut Columns<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<(Figures, T)>, StoreError> {
        let (conditions, given) = conditions(filter);
        let sql = format!(
            "SELECT {}, {} FROM calls c JOIN vault_keys k ON k.id = c.vault_key {conditions} \
             GROUP BY {} ORDER BY {} LIMIT ? OFFSET ?",
            rows::FIGURES,
            grouping.columns,
            grouping.by,
            grouping.order,
        );
        let forbidden = serde_json::to_string(&report::FORBIDDEN).unwrap_or_default();
        let codes = [report::CAPPED.to_owned(), forbidden].map(Value::Text);
        let part = [part.limit, part.offset].map(|number| Value::Integer(number.into()));
        let values = codes.into_iter().chain(given).chain(part);
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query(params_from_iter(values))?;
            let mut sums = Vec::new();
            while let Some(row) = found.next()? {
                sums.push(rows::figures(row, &group)?);
            }
            Ok(sums)
        })
    }
}
