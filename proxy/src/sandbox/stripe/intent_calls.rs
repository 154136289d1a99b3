//! The calls that make and change `PaymentIntents`.

use serde_json::{Map, Value, json};

use super::{
    amounts,
    cards::{self, Decline, Method},
    charges::{self, Attempt},
    customers,
    errors::{self, ApiError},
    intents::{PaymentIntent, Status, find, present},
    ledger::{self, Effect},
    metadata,
    params::{Node, Params},
    world::{Call, Record},
};

/// Parameters that change nothing here and come back as they were sent.
const ECHOED: &[&str] = &[
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
];
const CAPTURE_METHODS: &[&str] = &["automatic", "automatic_async", "manual"];
const REASONS: &[&str] = &["abandoned", "duplicate", "fraudulent", "requested_by_customer"];

pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let mut intent = draft(call)?;
    let confirm = call.params.boolean("confirm")?.unwrap_or(false);
    check_confirmation(call.params)?;
    if !confirm && (call.params.has("off_session") || call.params.has("return_url")) {
        return Err(
            ApiError::invalid("off_session and return_url need confirm=true").param("confirm")
        );
    }
    if confirm && intent.method.is_none() {
        // For those who come from charges, as Stripe's reference of `payment_method` says.
        intent.method = customers::default_source(call.world, intent.customer.as_deref())?;
    }
    if confirm && intent.method.is_none() {
        return Err(ApiError::invalid(
            "This PaymentIntent cannot be confirmed: it has no payment method",
        )
        .code("payment_intent_unexpected_state"));
    }
    call.emit("payment_intent.created", &intent.render());
    let decline = if confirm { pay(call, &mut intent) } else { None };
    finish(call, intent, decline)
}

/// The new intent, if all of the parameters are right.
fn draft(call: &mut Call<'_>) -> Result<PaymentIntent, ApiError> {
    let params = call.params;
    let currency = amounts::currency(params)?;
    let amount = amounts::payment(params, &currency)?;
    let manual = params.word("capture_method", CAPTURE_METHODS)? == Some("manual");
    let description = params.text("description")?.map(str::to_owned);
    let metadata = metadata::of_new(params)?;
    let echoed = echoed(params)?;
    let customer = customers::reference(call.world, params)?;
    let method = method(call)?;
    let id = call.world.ids.next("pi_");
    let status = match method {
        Some(_) => Status::RequiresConfirmation,
        None => Status::RequiresPaymentMethod,
    };
    Ok(PaymentIntent {
        secret: format!("{id}{}", call.world.ids.next("_secret_")),
        id,
        created: call.now,
        status,
        amount,
        amount_received: 0,
        currency,
        manual,
        customer,
        method,
        latest_charge: None,
        last_error: None,
        canceled_at: None,
        cancellation_reason: None,
        description,
        metadata,
        echoed,
    })
}

/// The payment method that the call names, or a new one of the data it gives.
fn method(call: &mut Call<'_>) -> Result<Option<Method>, ApiError> {
    if let Some(name) = call.params.text("payment_method")? {
        return cards::payment_method(call.world, name).map(Some);
    }
    let of_data = match call.params.node("payment_method_data") {
        Some(Node::Map(data)) if data.contains_key("type") => true,
        Some(_) => {
            return Err(ApiError::invalid("Invalid payment_method_data: its type is missing")
                .param("payment_method_data[type]"));
        }
        None => call.params.text("confirmation_token")?.is_some(),
    };
    if of_data {
        return cards::payment_method(call.world, "pm_card_visa").map(Some);
    }
    Ok(None)
}

fn echoed(params: &Params) -> Result<Map<String, Value>, ApiError> {
    let mut fields = Map::new();
    for name in ECHOED.iter().filter(|name| params.has(name)) {
        fields.insert((*name).to_owned(), json!(params.text(name)?));
    }
    if let Some(Node::Map(options)) = params.node("automatic_payment_methods") {
        let enabled = options.get("enabled") == Some(&Node::Text("true".to_owned()));
        fields.insert("automatic_payment_methods".to_owned(), json!({"enabled": enabled}));
    }
    Ok(fields)
}

/// Checks the parameters of a confirmation that this sandbox does not act on.
fn check_confirmation(params: &Params) -> Result<(), ApiError> {
    params.boolean("error_on_requires_action")?;
    params.boolean("use_stripe_sdk")?;
    params.word("off_session", &["true", "false", "one_off", "recurring"])?;
    Ok(())
}

/// Charges the intent's payment method.
fn pay(call: &mut Call<'_>, intent: &mut PaymentIntent) -> Option<Decline> {
    let method = intent.method.clone()?;
    let (charge, decline) = charges::attempt(
        call,
        Attempt {
            amount: intent.amount,
            currency: intent.currency.clone(),
            capture: !intent.manual,
            customer: intent.customer.clone(),
            intent: Some(intent.id.clone()),
            method,
            description: intent.description.clone(),
            metadata: intent.metadata.clone(),
        },
    );
    let kind = if let Some(decline) = decline {
        intent.refuse(charge, decline);
        "payment_intent.payment_failed"
    } else {
        intent.accept(charge);
        if intent.manual {
            "payment_intent.amount_capturable_updated"
        } else {
            "payment_intent.succeeded"
        }
    };
    call.emit(kind, &intent.render());
    decline
}

/// Stores the intent, counts its money and answers with it.
fn finish(
    call: &mut Call<'_>,
    intent: PaymentIntent,
    decline: Option<Decline>,
) -> Result<Value, ApiError> {
    let amount = match intent.status {
        Status::Succeeded => intent.amount_received,
        Status::RequiresPaymentMethod
        | Status::RequiresConfirmation
        | Status::RequiresCapture
        | Status::Canceled => intent.amount,
    };
    let world = &mut *call.world;
    world.ledger.commit(&intent.id, &intent.currency, intent.committed());
    ledger::record(
        call,
        &Effect {
            object_id: &intent.id,
            amount,
            currency: &intent.currency,
            status: intent.status.name(),
            metadata: &intent.metadata,
        },
    );
    let with_charge = call.params.list("expand")?.contains(&"latest_charge");
    let object = present(call.world, &intent, with_charge);
    let charge = intent.latest_charge.clone().unwrap_or_default();
    match call.world.intents.get_mut(&intent.id) {
        Some(stored) => *stored = intent,
        None => call.world.intents.push(intent),
    }
    match decline {
        Some(decline) => Err(charges::declined(&charge, decline).with("payment_intent", object)),
        None => Ok(object),
    }
}

pub(super) fn update(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    let mut intent = find(call.world, call.id)?.clone();
    intent.metadata = metadata::updated(&intent.metadata, params)?;
    intent.echoed.extend(echoed(params)?);
    if params.has("description") {
        intent.description = params.text("description")?.map(str::to_owned);
    }
    let terms = ["amount", "currency", "payment_method", "customer", "capture_method"];
    if terms.iter().any(|name| params.has(name)) && !intent.status.is_open() {
        return Err(wrong_state(&intent, "updated in its terms"));
    }
    if params.has("currency") {
        intent.currency = amounts::currency(params)?;
    }
    if params.has("amount") {
        intent.amount = params.required_integer("amount")?;
    }
    amounts::check(intent.amount, &intent.currency)?;
    if let Some(word) = params.word("capture_method", CAPTURE_METHODS)? {
        intent.manual = word == "manual";
    }
    if params.has("customer") {
        intent.customer = customers::reference(call.world, params)?;
    }
    if let Some(method) = method(call)? {
        intent.method = Some(method);
        intent.status = Status::RequiresConfirmation;
    }
    finish(call, intent, None)
}

pub(super) fn confirm(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    check_confirmation(params)?;
    let mut intent = find(call.world, call.id)?.clone();
    if !intent.status.is_open() {
        return Err(wrong_state(&intent, "confirmed"));
    }
    if let Some(word) = params.word("capture_method", CAPTURE_METHODS)? {
        intent.manual = word == "manual";
    }
    if let Some(confirmed) = params.integer("amount_to_confirm")?
        && confirmed != intent.amount
    {
        return Err(ApiError::invalid("amount_to_confirm is not the amount of the PaymentIntent")
            .param("amount_to_confirm"));
    }
    intent.echoed.extend(echoed(params)?);
    if let Some(method) = method(call)? {
        intent.method = Some(method);
    }
    if intent.method.is_none() {
        return Err(errors::unexpected_state(
            "This PaymentIntent cannot be confirmed: it has no payment method",
        )
        .with("payment_intent", intent.render()));
    }
    let decline = pay(call, &mut intent);
    finish(call, intent, decline)
}

pub(super) fn capture(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let mut intent = find(call.world, call.id)?.clone();
    if intent.status != Status::RequiresCapture {
        return Err(wrong_state(&intent, "captured"));
    }
    intent.metadata = metadata::updated(&intent.metadata, call.params)?;
    if call.params.boolean("final_capture")? == Some(false) {
        return Err(ApiError::invalid("This sandbox captures once: final_capture cannot be false")
            .param("final_capture"));
    }
    let amount = amounts::part_of(call.params, "amount_to_capture", intent.amount)?;
    intent.status = Status::Succeeded;
    intent.amount_received = amount;
    let charge = intent.latest_charge.as_deref();
    if let Some(charge) = charge.and_then(|id| call.world.charges.get_mut(id)) {
        charge.capture(amount);
        let rendered = charge.render();
        call.emit("charge.captured", &rendered);
    }
    call.emit("payment_intent.succeeded", &intent.render());
    finish(call, intent, None)
}

pub(super) fn cancel(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let reason = call.params.word("cancellation_reason", REASONS)?;
    let mut intent = find(call.world, call.id)?.clone();
    if matches!(intent.status, Status::Succeeded | Status::Canceled) {
        return Err(wrong_state(&intent, "canceled"));
    }
    if intent.status == Status::RequiresCapture {
        let charge = intent.latest_charge.as_deref();
        if let Some(charge) = charge.and_then(|id| call.world.charges.get_mut(id)) {
            charge.released = true;
            charge.amount_refunded = charge.amount;
            let rendered = charge.render();
            call.emit("charge.refunded", &rendered);
        }
    }
    intent.status = Status::Canceled;
    intent.canceled_at = Some(call.now);
    intent.cancellation_reason = reason.map(str::to_owned);
    call.emit("payment_intent.canceled", &intent.render());
    finish(call, intent, None)
}

fn wrong_state(intent: &PaymentIntent, verb: &str) -> ApiError {
    errors::unexpected_state(format!(
        "This PaymentIntent could not be {verb} because it has a status of {}.",
        intent.status.name()
    ))
    .with("payment_intent", intent.render())
}
