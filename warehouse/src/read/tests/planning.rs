//! Planning makes no pause, and takes a second where joins are many: it is done where queries run, never where connections are served.

use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use tokio::runtime::Builder;

use super::super::engine::ReadSettings;
use super::super::testing::{Shop, gathered, lines};

/// The threads on which the engine asked for the type of `witness(…)`, which it does when it plans.
static PLANNED_ON: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());

#[derive(Debug, PartialEq, Eq, Hash)]
struct Witness(Signature);

impl ScalarUDFImpl for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        PLANNED_ON.lock().unwrap().push(thread::current().id());
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.remove(0))
    }
}

#[tokio::test]
async fn whoever_waits_for_a_statement_that_is_planned_can_be_told_to_stop() {
    let threads = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let settings = ReadSettings { threads: Some(threads.handle().clone()), ..ReadSettings::default() };
    let shop = Shop::open_with(settings).await;
    shop.publish(1, 3);
    let query = || {
        let mut query = shop.query("SELECT witness(id) FROM flights LIMIT 1");
        let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
        query.functions.push(Arc::new(ScalarUDF::new_from_impl(Witness(signature))));
        query
    };
    shop.engine.describe(query()).await.unwrap();
    let described = PLANNED_ON.lock().unwrap().len();
    assert_eq!(lines(&gathered(shop.engine.query(query()).await.unwrap()).await.unwrap()).len(), 1);
    let planned_on = PLANNED_ON.lock().unwrap().clone();
    assert!(0 < described && described < planned_on.len(), "both were planned");
    assert!(!planned_on.contains(&thread::current().id()), "not where this test waits");
    assert_eq!(shop.workers.pins_held(), 0);
    threads.shutdown_background();
}
