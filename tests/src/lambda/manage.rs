//! The management API, as far as a deployment uses it: create, show, configure, replace the code.

use std::{
    collections::BTreeMap, os::unix::fs::PermissionsExt, path::PathBuf, process::Command, sync::Arc,
};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Code, Function, Shared,
    invoke::{arn, refused},
    unpoisoned,
};

/// `POST /2015-03-31/functions`
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Json(asked): Json<Value>,
) -> Response {
    let name = text(&asked, "/FunctionName");
    if unpoisoned(&shared.functions).contains_key(&name) {
        return refused("create", StatusCode::CONFLICT, "ResourceConflictException", "exists");
    }
    let Some(program) = unpacked(&shared, &name, &text(&asked, "/Code/ZipFile")) else {
        let what = "InvalidParameterValueException";
        return refused("create", StatusCode::BAD_REQUEST, what, "Could not unzip uploaded file");
    };
    let mut function = Function::new(Code::Program(program), variables(&asked));
    function.settings = without_code(asked);
    unpoisoned(&shared.functions).insert(name.clone(), function);
    (StatusCode::CREATED, Json(shown(&shared, &name))).into_response()
}

/// `GET /2015-03-31/functions/{name}` and its configuration.
pub(super) async fn show(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let configuration = shown(&shared, &name);
    if configuration.is_null() {
        return refused("show", StatusCode::NOT_FOUND, "ResourceNotFoundException", "none");
    }
    let mut answer = configuration.clone();
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("Configuration".to_owned(), configuration);
    }
    Json(answer).into_response()
}

/// `PUT /2015-03-31/functions/{name}/configuration`
pub(super) async fn configure(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Json(asked): Json<Value>,
) -> Response {
    shared.function(&name, |function| {
        function.variables = variables(&asked);
        function.settings = asked;
        function.idle.clear();
    });
    show(State(shared), Path(name)).await
}

/// `PUT /2015-03-31/functions/{name}/code`
pub(super) async fn replace(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Json(asked): Json<Value>,
) -> Response {
    let Some(program) = unpacked(&shared, &name, &text(&asked, "/ZipFile")) else {
        let what = "InvalidParameterValueException";
        return refused("replace", StatusCode::BAD_REQUEST, what, "Could not unzip uploaded file");
    };
    shared.function(&name, |function| {
        function.code = Code::Program(program);
        function.idle.clear();
    });
    show(State(shared), Path(name)).await
}

fn shown(shared: &Shared, name: &str) -> Value {
    let known = shared.function(name, |function| function.settings.clone());
    known.map_or(Value::Null, |settings| {
        json!({
            "FunctionName": name, "FunctionArn": arn(name), "Runtime": settings.get("Runtime"),
            "Handler": settings.get("Handler"), "Role": settings.get("Role"),
            "State": "Active", "LastUpdateStatus": "Successful",
        })
    })
}

/// Unpacks a function's code as AWS does, and gives its program.
fn unpacked(shared: &Shared, name: &str, zip: &str) -> Option<PathBuf> {
    let script = "import base64, io, sys, zipfile\n\
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(sys.stdin.read())))\n\
        entry = archive.getinfo('bootstrap')\n\
        assert entry.external_attr >> 16 & 0o111 == 0o111, 'not executable'\n\
        archive.extract('bootstrap', sys.argv[1])";
    let count = std::fs::read_dir(shared.code.path()).ok()?.count();
    let folder = shared.code.path().join(format!("{name}-{count}"));
    std::fs::create_dir(&folder).ok()?;
    let encoded = folder.join("code");
    std::fs::write(&encoded, zip).ok()?;
    let unpacking = Command::new("python3")
        .args(["-c", script])
        .arg(&folder)
        .stdin(std::fs::File::open(&encoded).ok()?)
        .status();
    std::fs::remove_file(&encoded).ok()?;
    let program = folder.join("bootstrap");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).ok()?;
    unpacking.is_ok_and(|status| status.success()).then_some(program)
}

fn variables(asked: &Value) -> BTreeMap<String, String> {
    let given = asked.pointer("/Environment/Variables").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    given.into_iter().flatten().filter_map(text).collect()
}

fn without_code(mut asked: Value) -> Value {
    if let Some(asked) = asked.as_object_mut() {
        asked.remove("Code");
    }
    asked
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
