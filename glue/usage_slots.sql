CREATE EXTERNAL TABLE meterlake.usage_slots
LOCATION 's3://LAKE/tables/usage_slots/'
TBLPROPERTIES ('table_type' = 'DELTA');
