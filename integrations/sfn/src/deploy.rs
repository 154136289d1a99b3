//! `keybrake-sfn deploy`: to try it out. A lasting installation is the template in `infra/aws`, which
//! has the roles, the secret and the rule for aborted executions as well.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use aws_sdk_lambda::{
    Client as Lambda,
    primitives::Blob,
    types::{Architecture, Environment, FunctionCode, LastUpdateStatus, Runtime, State},
};
use aws_sdk_sfn::Client as StepFunctions;
use clap::{Args, ValueEnum};

use crate::{
    aws::{self, failed},
    definition::{self, FUNCTIONS},
    print, talk, zip,
};

/// How long a function may take to be ready, in tries of half a second.
const TRIES: u32 = 240;
/// Longer than the client waits for the proxy.
const TIMEOUT_SECONDS: i32 = 100;
const MEMORY_MEGABYTES: i32 = 256;

#[derive(Args)]
pub(crate) struct Options {
    /// The state machine's definition, such as examples/step-functions/billing.asl.json.
    definition: PathBuf,
    /// The state machine's name.
    #[arg(long)]
    name: String,
    /// The folder with the functions: NAME/bootstrap, as cargo-lambda builds them, or NAME.
    #[arg(long)]
    functions: PathBuf,
    /// What the functions' names begin with.
    #[arg(long, default_value = "keybrake-")]
    prefix: String,
    /// The role that the functions run with.
    #[arg(long)]
    function_role: String,
    /// The role that the state machine runs with.
    #[arg(long)]
    machine_role: String,
    /// An environment variable of the functions; without a value, as it is here.
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    variables: Vec<String>,
    /// What another placeholder of the definition stands for, such as your own function's ARN.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = definition::pair)]
    values: Vec<(String, String)>,
    /// What the functions are built for.
    #[arg(long, value_enum, default_value_t = Built::Arm64)]
    architecture: Built,
}

#[derive(Clone, Copy, ValueEnum)]
enum Built {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(&options.definition)
        .with_context(|| format!("can't read {}", options.definition.display()))?;
    let mut values: BTreeMap<String, String> = options.values.iter().cloned().collect();
    let named = definition::placeholders(&text);
    let wanted: Vec<_> = FUNCTIONS
        .into_iter()
        .filter(|(placeholder, _)| {
            named.contains(placeholder) && !values.contains_key(*placeholder)
        })
        .collect();
    // Everything that can be wrong here is found before anything is changed there.
    let mut programs = Vec::new();
    for (placeholder, function) in wanted {
        values.insert(placeholder.to_owned(), String::new());
        programs.push((placeholder, function, packed(&options.functions, function)?));
    }
    definition::filled(&text, &values)?;
    let variables = variables(&options.variables)?;

    let config = aws::config().await;
    let lambda = Lambda::new(&config);
    for (placeholder, function, code) in programs {
        let name = format!("{}{function}", options.prefix);
        let arn = put_function(&lambda, &options, &name, code, &variables).await?;
        talk(&format!("{name} is ready"));
        values.insert(placeholder.to_owned(), arn);
    }
    let machine = definition::filled(&text, &values)?;
    let region = config.region().context("no region; set AWS_REGION")?.to_string();
    let arn = machine_arn(&options.machine_role, &region, &options.name)?;
    put_machine(&StepFunctions::new(&config), &options, &arn, &machine).await?;
    print(&arn);
    Ok(ExitCode::SUCCESS)
}

/// A function's program as an archive.
fn packed(folder: &Path, function: &str) -> anyhow::Result<Vec<u8>> {
    let built = folder.join(function).join("bootstrap");
    let program = if built.is_file() { built } else { folder.join(function) };
    let bytes = fs::read(&program).with_context(|| {
        format!(
            "no program of {function} in {}; build it with cargo lambda build",
            folder.display()
        )
    })?;
    zip::with_bootstrap(&bytes).with_context(|| format!("{} is too large", program.display()))
}

/// Variables with their values, from here where none is given: an API key need not be typed.
fn variables(given: &[String]) -> anyhow::Result<HashMap<String, String>> {
    let mut variables = HashMap::new();
    for text in given {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match std::env::var(text) {
                Ok(value) => (text.as_str(), value),
                Err(_) => bail!("--env {text}: it has no value here; give it as {text}=VALUE"),
            },
        };
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// Creates a function, or gives it this code and configuration. Both can be repeated.
async fn put_function(
    lambda: &Lambda,
    options: &Options,
    name: &str,
    code: Vec<u8>,
    variables: &HashMap<String, String>,
) -> anyhow::Result<String> {
    let environment = Environment::builder().set_variables(Some(variables.clone())).build();
    let code = Blob::new(code);
    let architecture = match options.architecture {
        Built::Arm64 => Architecture::Arm64,
        Built::X86_64 => Architecture::X8664,
    };
    let created = lambda
        .create_function()
        .function_name(name)
        .role(&options.function_role)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .architectures(architecture.clone())
        .timeout(TIMEOUT_SECONDS)
        .memory_size(MEMORY_MEGABYTES)
        .environment(environment.clone())
        .code(FunctionCode::builder().zip_file(code.clone()).build())
        .send()
        .await;
    match created {
        Ok(_) => {}
        Err(error) if aws::is(&error, "ResourceConflictException") => {
            let changed = lambda
                .update_function_configuration()
                .function_name(name)
                .role(&options.function_role)
                .timeout(TIMEOUT_SECONDS)
                .memory_size(MEMORY_MEGABYTES)
                .environment(environment)
                .send()
                .await;
            changed.map_err(|error| failed(&format!("can't configure {name}"), error))?;
            ready(lambda, name).await?;
            let replaced = lambda
                .update_function_code()
                .function_name(name)
                .architectures(architecture)
                .zip_file(code)
                .send()
                .await;
            replaced
                .map_err(|error| failed(&format!("can't replace the code of {name}"), error))?;
        }
        Err(error) => return Err(failed(&format!("can't create {name}"), error)),
    }
    ready(lambda, name).await
}

/// Waits until a function can be invoked and changed, and gives its ARN.
async fn ready(lambda: &Lambda, name: &str) -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let asked = lambda.get_function_configuration().function_name(name).send().await;
        let shown = asked.map_err(|error| failed(&format!("can't look at {name}"), error))?;
        if shown.state() == Some(&State::Failed)
            || shown.last_update_status() == Some(&LastUpdateStatus::Failed)
        {
            let why = shown.state_reason().or(shown.last_update_status_reason());
            bail!("{name} failed to become active: {}", why.unwrap_or("no reason is given"));
        }
        let is_busy = shown.state() == Some(&State::Pending)
            || shown.last_update_status() == Some(&LastUpdateStatus::InProgress);
        if !is_busy {
            return shown.function_arn().map(str::to_owned).context("a function without an ARN");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bail!("{name} was not ready in two minutes; look at it, and deploy again")
}

/// Where the state machine is, by the account of its role.
fn machine_arn(role: &str, region: &str, name: &str) -> anyhow::Result<String> {
    match role.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", partition, "iam", _, account, ..] => {
            Ok(format!("arn:{partition}:states:{region}:{account}:stateMachine:{name}"))
        }
        _ => bail!("{role} is not a role's ARN"),
    }
}

async fn put_machine(
    sfn: &StepFunctions,
    options: &Options,
    arn: &str,
    definition: &str,
) -> anyhow::Result<()> {
    let updated = sfn
        .update_state_machine()
        .state_machine_arn(arn)
        .definition(definition)
        .role_arn(&options.machine_role)
        .send()
        .await;
    match updated {
        Ok(_) => Ok(()),
        Err(error) if aws::is(&error, "StateMachineDoesNotExist") => {
            let made = sfn
                .create_state_machine()
                .name(&options.name)
                .definition(definition)
                .role_arn(&options.machine_role)
                .send()
                .await;
            made.map_err(|error| failed("can't create the state machine", error))?;
            Ok(())
        }
        Err(error) => Err(failed("can't update the state machine", error)),
    }
}
