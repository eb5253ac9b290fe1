//! A database of the Glue Data Catalog. All pages are read; an update names the version it was made for, and Glue refuses it where
//! there is a newer one.

use async_trait::async_trait;
use aws_sdk_glue::Client;
use aws_sdk_glue::error::SdkError;
use aws_sdk_glue::operation::create_database::CreateDatabaseError;
use aws_sdk_glue::operation::create_table::CreateTableError;
use aws_sdk_glue::operation::get_database::GetDatabaseError;
use aws_sdk_glue::operation::get_table::GetTableError;
use aws_sdk_glue::operation::get_tables::{GetTablesError, GetTablesOutput};
use aws_sdk_glue::operation::update_table::UpdateTableError;
use aws_sdk_glue::types::{Column, DatabaseInput, SerDeInfo, StorageDescriptor, Table, TableInput};

use super::Aws;
use crate::glue::{FoundTable, Glue, GlueColumn, GlueError, GlueTable, Serde, Storage};

/// A database of Glue.
#[derive(Debug)]
pub struct GlueDatabase {
    client: Client,
    catalog: Option<String>,
    name: String,
}

impl Aws {
    /// A database of a catalogue; `None` is the account's own catalogue.
    pub fn glue(&self, database: &str, catalog_id: Option<&str>) -> GlueDatabase {
        GlueDatabase {
            client: Client::new(self.config()),
            catalog: catalog_id.map(str::to_owned),
            name: database.to_owned(),
        }
    }
}

impl GlueDatabase {
    fn failed(&self, action: &str, source: impl std::error::Error + Send + Sync + 'static) -> GlueError {
        GlueError::Service { action: format!("{action} in the database {}", self.name), source: Box::new(source) }
    }

    /// The error of a change: lost races are told apart.
    fn refused<E: std::error::Error + Send + Sync + 'static>(
        &self,
        action: &str,
        table: &GlueTable,
        is_race: impl Fn(&E) -> bool,
        error: SdkError<E>,
    ) -> GlueError {
        match error.as_service_error() {
            Some(refusal) if is_race(refusal) => GlueError::Changed { table: table.name.clone() },
            _ => self.failed(&format!("{action} {}", table.name), error),
        }
    }
}

#[async_trait]
impl Glue for GlueDatabase {
    async fn has_database(&self) -> Result<bool, GlueError> {
        let client = &self.client;
        let found = client.get_database().set_catalog_id(self.catalog.clone()).name(&self.name).send().await;
        match found {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(GetDatabaseError::is_entity_not_found_exception) => {
                Ok(false)
            }
            Err(error) => Err(self.failed("look", error)),
        }
    }

    async fn create_database(&self, description: &str) -> Result<(), GlueError> {
        let client = &self.client;
        let input = DatabaseInput::builder().name(&self.name).description(description).build();
        let input = input.map_err(|error| self.failed("make itself", error))?;
        let made = client.create_database().set_catalog_id(self.catalog.clone()).database_input(input).send().await;
        match made {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(CreateDatabaseError::is_already_exists_exception) => {
                Ok(())
            }
            Err(error) => {
                Err(GlueError::Service { action: format!("make the database {}", self.name), source: Box::new(error) })
            }
        }
    }

    async fn tables(&self) -> Result<Vec<FoundTable>, GlueError> {
        let client = &self.client;
        let pages = client.get_tables().set_catalog_id(self.catalog.clone()).database_name(&self.name).into_paginator();
        let found: Result<Vec<GetTablesOutput>, _> = pages.send().collect().await;
        match found {
            Ok(pages) => {
                let tables = pages.into_iter().flat_map(|page| page.table_list.unwrap_or_default());
                Ok(tables.map(found_table).collect())
            }
            Err(error) if error.as_service_error().is_some_and(GetTablesError::is_entity_not_found_exception) => {
                Ok(Vec::new())
            }
            Err(error) => Err(self.failed("list the tables", error)),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<FoundTable>, GlueError> {
        let client = &self.client;
        let call = client.get_table().set_catalog_id(self.catalog.clone()).database_name(&self.name).name(name);
        match call.send().await {
            Ok(found) => Ok(found.table.map(found_table)),
            Err(error) if error.as_service_error().is_some_and(GetTableError::is_entity_not_found_exception) => {
                Ok(None)
            }
            Err(error) => Err(self.failed(&format!("look at the table {name}"), error)),
        }
    }

    async fn create(&self, table: &GlueTable) -> Result<(), GlueError> {
        let client = &self.client;
        let input = table_input(table).map_err(|error| self.failed("describe a table", error))?;
        let call = client.create_table().set_catalog_id(self.catalog.clone()).database_name(&self.name);
        let is_race = |error: &CreateTableError| {
            error.is_already_exists_exception() || error.is_concurrent_modification_exception()
        };
        let made = call.table_input(input).send().await;
        made.map(drop).map_err(|error| self.refused("make the table", table, is_race, error))
    }

    async fn update(&self, table: &GlueTable, version: Option<&str>) -> Result<(), GlueError> {
        let client = &self.client;
        let input = table_input(table).map_err(|error| self.failed("describe a table", error))?;
        let call = client.update_table().set_catalog_id(self.catalog.clone()).database_name(&self.name);
        let is_race = |error: &UpdateTableError| {
            error.is_concurrent_modification_exception() || error.is_entity_not_found_exception()
        };
        let made = call.table_input(input).set_version_id(version.map(str::to_owned)).send().await;
        made.map(drop).map_err(|error| self.refused("change the table", table, is_race, error))
    }
}

fn table_input(table: &GlueTable) -> Result<TableInput, aws_sdk_glue::error::BuildError> {
    let GlueTable { name, description, table_type, parameters, partition_keys, storage } = table;
    let serde = SerDeInfo::builder()
        .serialization_library(&storage.serde.library)
        .set_parameters(Some(storage.serde.parameters.clone().into_iter().collect()))
        .build();
    let storage = StorageDescriptor::builder()
        .set_columns(Some(columns(&storage.columns)?))
        .location(&storage.location)
        .input_format(&storage.input_format)
        .output_format(&storage.output_format)
        .serde_info(serde)
        .build();
    TableInput::builder()
        .name(name)
        .description(description)
        .table_type(table_type)
        .set_parameters(Some(parameters.clone().into_iter().collect()))
        // Athena wants the list also where it is empty.
        .set_partition_keys(Some(columns(partition_keys)?))
        .storage_descriptor(storage)
        .build()
}

fn columns(columns: &[GlueColumn]) -> Result<Vec<Column>, aws_sdk_glue::error::BuildError> {
    let column = |c: &GlueColumn| Column::builder().name(&c.name).r#type(&c.kind).comment(&c.comment).build();
    columns.iter().map(column).collect()
}

fn found_table(found: Table) -> FoundTable {
    let storage = found.storage_descriptor.map(|storage| {
        let serde = storage.serde_info.map(|serde| Serde {
            library: serde.serialization_library.unwrap_or_default(),
            parameters: serde.parameters.unwrap_or_default().into_iter().collect(),
        });
        Storage {
            columns: found_columns(storage.columns),
            location: storage.location.unwrap_or_default(),
            input_format: storage.input_format.unwrap_or_default(),
            output_format: storage.output_format.unwrap_or_default(),
            serde: serde.unwrap_or_default(),
        }
    });
    let table = GlueTable {
        name: found.name,
        description: found.description.unwrap_or_default(),
        table_type: found.table_type.unwrap_or_default(),
        parameters: found.parameters.unwrap_or_default().into_iter().collect(),
        partition_keys: found_columns(found.partition_keys),
        storage: storage.unwrap_or_default(),
    };
    FoundTable { table, version: found.version_id }
}

fn found_columns(columns: Option<Vec<Column>>) -> Vec<GlueColumn> {
    let column = |column: Column| GlueColumn {
        name: column.name,
        kind: column.r#type.unwrap_or_default(),
        comment: column.comment.unwrap_or_default(),
    };
    columns.unwrap_or_default().into_iter().map(column).collect()
}
