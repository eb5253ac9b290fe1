CREATE EXTERNAL TABLE meterlake.objects
LOCATION 's3://LAKE/tables/objects/'
TBLPROPERTIES ('table_type' = 'DELTA');
