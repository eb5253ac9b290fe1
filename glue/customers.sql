CREATE EXTERNAL TABLE meterlake.customers
LOCATION 's3://LAKE/tables/customers/'
TBLPROPERTIES ('table_type' = 'DELTA');
