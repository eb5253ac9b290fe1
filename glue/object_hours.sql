CREATE EXTERNAL TABLE meterlake.object_hours
LOCATION 's3://LAKE/tables/object_hours/'
TBLPROPERTIES ('table_type' = 'DELTA');
