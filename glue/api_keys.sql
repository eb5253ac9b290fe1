CREATE EXTERNAL TABLE meterlake.api_keys
LOCATION 's3://LAKE/tables/api_keys/'
TBLPROPERTIES ('table_type' = 'DELTA');
