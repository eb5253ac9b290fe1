CREATE EXTERNAL TABLE meterlake.usage_daily
LOCATION 's3://LAKE/tables/usage_daily/'
TBLPROPERTIES ('table_type' = 'DELTA');
