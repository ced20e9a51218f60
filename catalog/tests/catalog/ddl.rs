//! Databases, tables, pipelines.

use millrace_catalog::*;

use crate::fixture::{Shop, column, in_memory, new_pipeline, new_table, on_every_store, range};

fn message<T: std::fmt::Debug>(result: Result<T, CatalogError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn names_are_compared_without_case_and_kept_as_typed() {
    on_every_store(async |shop: Shop| {
        let catalog = &shop.catalog;
        catalog.create_database("Shop", false).await.unwrap();
        assert_eq!(message(catalog.create_database("SHOP", false).await), "database `SHOP` already exists");
        catalog.create_database("shop", true).await.unwrap();
        assert_eq!(catalog.databases().await.unwrap(), ["default", "Shop"]);
        let new = NewTable { database: "sHop".into(), ..new_table("Orders") };
        let table = catalog.create_table(new, false).await.unwrap();
        assert_eq!((&*table.database, &*table.name), ("Shop", "Orders"));
        assert_eq!(catalog.table("SHOP", "ORDERS").await.unwrap(), table);
        assert_eq!(catalog.table_by_id(table.id).await.unwrap(), table);
        let again = NewTable { database: "shop".into(), ..new_table("ORDERS") };
        assert_eq!(message(catalog.create_table(again.clone(), false).await), "table `shop`.`ORDERS` already exists");
        assert_eq!(catalog.create_table(again, true).await.unwrap(), table);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_may_have_been_meant() {
    let shop = in_memory().await;
    let catalog = &shop.catalog;
    assert_eq!(
        message(catalog.table("default", "click").await),
        "there is no table `default`.`click`; did you mean `clicks`?"
    );
    assert_eq!(
        message(catalog.table("defaults", "clicks").await),
        "there is no database `defaults`; did you mean `default`?"
    );
    assert_eq!(message(catalog.pipeline("default", "x").await), "there is no pipeline `default`.`x`");
    assert!(message(catalog.drop_table("default", "clisk", false).await).contains("did you mean"));
    catalog.drop_table("default", "clisk", true).await.unwrap();
    catalog.drop_pipeline("default", "x", true).await.unwrap();
    catalog.drop_database("x", true).await.unwrap();
    assert_eq!(message(catalog.drop_database("x", false).await), "there is no database `x`");
}

#[tokio::test]
async fn what_others_stand_on_is_not_dropped() {
    on_every_store(async |shop: Shop| {
        let catalog = &shop.catalog;
        let refused = message(catalog.drop_table("default", "clicks", false).await);
        assert!(refused.contains("DROP PIPELINE `default`.`clicks_in`"), "{refused}");
        let refused = message(catalog.drop_database("default", false).await);
        assert!(refused.contains("`clicks_in`"), "{refused}");
        catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        let refused = message(catalog.drop_database("default", false).await);
        assert!(refused.contains("DROP TABLE `default`.`clicks`"), "{refused}");
        catalog.drop_table("default", "clicks", false).await.unwrap();
        catalog.drop_database("default", false).await.unwrap();
        assert!(shop.reopened().await.databases().await.unwrap().is_empty(), "a dropped default stays dropped");
    })
    .await;
}

#[tokio::test]
async fn a_table_made_again_is_another_table() {
    on_every_store(async |shop: Shop| {
        let granted = shop.stream(0).await;
        shop.committed(&shop.flush(0, &[(&granted, range(0, 9))]).await).await;
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        shop.catalog.drop_table("default", "clicks", false).await.unwrap();
        assert!(matches!(shop.catalog.snapshot(shop.table.id).await, Err(CatalogError::NotFound { .. })));
        let again = shop.catalog.create_table(new_table("clicks"), false).await.unwrap();
        assert!(again.id > shop.table.id);
        let snapshot = shop.catalog.snapshot(again.id).await.unwrap();
        assert_eq!((snapshot.version, snapshot.parts.len(), snapshot.streams.len()), (Version::ZERO, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_table_that_cannot_be_is_refused_with_its_column_and_the_next_step() {
    let shop = in_memory().await;
    let create = async |change: fn(&mut NewTable)| {
        let mut new = new_table("t");
        change(&mut new);
        message(shop.catalog.create_table(new, false).await)
    };
    let faults = [
        create(|new| new.name = "t$errors".into()).await,
        create(|new| new.name = "x".repeat(65)).await,
        create(|new| new.database = "nowhere".into()).await,
        create(|new| new.columns.push(column("_Offset", ColumnType::Json))).await,
        create(|new| new.columns.push(column("TS", ColumnType::Json))).await,
        create(|new| new.columns[0].kind = ColumnType::Decimal { precision: 39, scale: 0 }).await,
        create(|new| new.partition_by[0].0 = "kind".into()).await,
        create(|new| new.order_by.push("nothing".into())).await,
        create(|new| new.columns[1].comment = "x".repeat(2_000)).await,
        create(|new| {
            new.columns = (0..900).map(|n| column(&format!("{n:060}"), ColumnType::Json)).collect();
            (new.partition_by, new.order_by) = (Vec::new(), Vec::new());
        })
        .await,
    ];
    assert_eq!(faults.len(), 10);
    assert_eq!(shop.catalog.tables("default").await.unwrap().len(), 1, "{faults:?}");
}

#[tokio::test]
async fn a_pipelines_state_is_set_without_raising_its_fence() {
    on_every_store(async |shop: Shop| {
        let watch = shop.catalog.watch_pipelines().await.unwrap();
        let paused = shop.catalog.set_pipeline_state("DEFAULT", "CLICKS_IN", PipelineState::Paused).await.unwrap();
        watch.changed().await;
        assert_eq!((&paused.state, paused.fence), (&PipelineState::Paused, shop.pipeline.fence));
        assert_eq!(shop.catalog.pipelines().await.unwrap(), [paused]);
        let second = shop.catalog.create_pipeline(new_pipeline("second", shop.table.id), false).await.unwrap();
        assert_eq!(shop.catalog.pipeline_by_id(second.id).await.unwrap(), second);
        let again = shop.catalog.create_pipeline(new_pipeline("SECOND", shop.table.id), true).await.unwrap();
        assert_eq!(again, second);
        let nowhere = shop.catalog.create_pipeline(new_pipeline("third", TableId(99)), false).await;
        assert!(matches!(nowhere, Err(CatalogError::NotFound { .. })));
        let mut idle = new_pipeline("fourth", shop.table.id);
        idle.settings.tasks = 0;
        assert!(message(shop.catalog.create_pipeline(idle, false).await).contains("tasks = 0"));
    })
    .await;
}

#[tokio::test]
async fn a_catalog_is_there_again_when_its_store_is_opened_again() {
    on_every_store(async |shop: Shop| {
        let granted = shop.stream(0).await;
        let version = shop.committed(&shop.flush(0, &[(&granted, range(0, 9))]).await).await;
        let again = shop.reopened().await;
        assert_eq!(again.table("default", "clicks").await.unwrap(), shop.table);
        let snapshot = again.snapshot(shop.table.id).await.unwrap();
        assert_eq!((snapshot.version, snapshot.parts.len()), (version, 1));
        assert_eq!(snapshot.streams, shop.snapshot().await.streams);
    })
    .await;
}

#[tokio::test]
async fn of_two_that_make_the_same_name_at_once_one_succeeds() {
    let shop = in_memory().await;
    let create = || shop.catalog.create_table(new_table("t"), false);
    let (one, two) = tokio::join!(create(), create());
    assert!(matches!(
        (&one, &two),
        (Ok(_), Err(CatalogError::AlreadyExists { .. })) | (Err(CatalogError::AlreadyExists { .. }), Ok(_))
    ));
    let drop = || shop.catalog.drop_table("default", "t", true);
    assert_eq!(tokio::join!(drop(), drop()), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_table_and_its_pipeline_are_made_together_or_not_at_all() {
    on_every_store(async |shop: Shop| {
        let catalog = &shop.catalog;
        let make = async |table: &str, pipeline: &str| {
            catalog.create_table_with_pipeline(new_table(table), new_pipeline(pipeline, TableId(0))).await
        };
        let (table, pipeline) = make("u", "u_in").await.unwrap();
        assert_eq!(pipeline.table, table.id);
        assert_eq!(catalog.pipeline("default", "u_in").await.unwrap(), pipeline);
        assert!(message(make("U", "other").await).contains("table `default`.`U`"));
        assert!(message(make("v", "U_in").await).contains("pipeline `default`.`U_in`"));
        assert!(catalog.table("default", "v").await.is_err() && catalog.pipeline("default", "other").await.is_err());
        let nowhere = NewPipeline { database: "nowhere".into(), ..new_pipeline("w_in", TableId(0)) };
        assert!(catalog.create_table_with_pipeline(new_table("w"), nowhere).await.is_err());
        assert!(catalog.table("default", "w").await.is_err(), "neither is made");
    })
    .await;
}

#[tokio::test]
async fn of_two_that_make_the_same_table_with_its_pipeline_at_once_one_succeeds_whole() {
    let shop = in_memory().await;
    let make = || shop.catalog.create_table_with_pipeline(new_table("u"), new_pipeline("u_in", TableId(0)));
    let (one, two) = tokio::join!(make(), make());
    let (made, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    assert!(matches!(refused, Err(CatalogError::AlreadyExists { .. })), "{refused:?}");
    let (table, pipeline) = made.unwrap();
    assert_eq!(shop.catalog.table("default", "u").await.unwrap(), table);
    assert_eq!(shop.catalog.pipeline("default", "u_in").await.unwrap(), pipeline);
}
