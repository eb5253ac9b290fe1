CREATE EXTERNAL TABLE meterlake.prices
LOCATION 's3://LAKE/tables/prices/'
TBLPROPERTIES ('table_type' = 'DELTA');
