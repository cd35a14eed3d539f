"""Sets of streets. A line is ``name | colour | class``; the ids count from 0. A wall stands free here, like a fence."""

# labelIds of Cityscapes (Cordts et al. 2016), cityscapesscripts/helpers/labels.py. Its -1 is 255 in a file.
CITYSCAPES = """
unlabeled | 0 0 0 | void
ego vehicle | 0 0 0 | void
rectification border | 0 0 0 | void
out of roi | 0 0 0 | void
static | 0 0 0 | void
dynamic | 111 74 0 | void
ground | 81 0 81 | pavement
road | 128 64 128 | road
sidewalk | 244 35 232 | pavement
parking | 250 170 160 | road
rail track | 230 150 140 | road
building | 70 70 70 | building
wall | 102 102 156 | fence
fence | 190 153 153 | fence
guard rail | 180 165 180 | fence
bridge | 150 100 100 | building
tunnel | 150 120 90 | building
pole | 153 153 153 | pole
polegroup | 153 153 153 | pole
traffic light | 250 170 30 | sign
traffic sign | 220 220 0 | sign
vegetation | 107 142 35 | vegetation
terrain | 152 251 152 | grass
sky | 70 130 180 | sky
person | 220 20 60 | person
rider | 255 0 0 | person
car | 0 0 142 | car
truck | 0 0 70 | car
bus | 0 60 100 | car
caravan | 0 0 90 | car
trailer | 0 0 110 | car
train | 0 80 100 | car
motorcycle | 0 0 230 | bicycle
bicycle | 119 11 32 | bicycle
"""

# The rows of CITYSCAPES that its 19 trainIds stand for, in order.
CITYSCAPES_TRAIN = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)

# The 11 classes of CamVid (Brostow et al. 2008) in the ids of SegNet.
CAMVID = """
Sky | 128 128 128 | sky
Building | 128 0 0 | building
Pole | 192 192 128 | pole
Road | 128 64 128 | road
Pavement | 0 0 192 | pavement
Tree | 128 128 0 | vegetation
SignSymbol | 192 128 128 | sign
Fence | 64 64 128 | fence
Car | 64 0 128 | car
Pedestrian | 64 64 0 | person
Bicyclist | 0 128 192 | bicycle
Unlabelled | 0 0 0 | void
"""

# All 32 classes of CamVid, in the order of its label_colors.txt.
CAMVID32 = """
Animal | 64 128 64
Archway | 192 0 128 | building
Bicyclist | 0 128 192 | bicycle
Bridge | 0 128 64 | building
Building | 128 0 0 | building
Car | 64 0 128 | car
CartLuggagePram | 64 0 192 | person
Child | 192 128 64 | person
Column_Pole | 192 192 128 | pole
Fence | 64 64 128 | fence
LaneMkgsDriv | 128 0 192 | marking
LaneMkgsNonDriv | 192 0 64 | marking
Misc_Text | 128 128 64 | sign
MotorcycleScooter | 192 0 192 | bicycle
OtherMoving | 128 64 64 | car
ParkingBlock | 64 192 128 | pavement
Pedestrian | 64 64 0 | person
Road | 128 64 128 | road
RoadShoulder | 128 128 192 | pavement
Sidewalk | 0 0 192 | pavement
SignSymbol | 192 128 128 | sign
Sky | 128 128 128 | sky
SUVPickupTruck | 64 128 192 | car
TrafficCone | 0 0 64 | pole
TrafficLight | 0 64 64 | sign
Train | 192 64 128 | car
Tree | 128 128 0 | vegetation
Truck_Bus | 192 128 192 | car
Tunnel | 64 0 64 | building
VegetationMisc | 192 192 0 | vegetation
Void | 0 0 0 | void
Wall | 64 192 0 | fence
"""

# CARLA since 0.9.14, CityScapesPalette.h; the last came with 0.10.
CARLA = """
unlabeled | 0 0 0 | void
road | 128 64 128 | road
sidewalk | 244 35 232 | pavement
building | 70 70 70 | building
wall | 102 102 156 | fence
fence | 190 153 153 | fence
pole | 153 153 153 | pole
traffic light | 250 170 30 | sign
traffic sign | 220 220 0 | sign
vegetation | 107 142 35 | vegetation
terrain | 152 251 152 | grass
sky | 70 130 180 | sky
pedestrian | 220 20 60 | person
rider | 255 0 0 | person
Car | 0 0 142 | car
truck | 0 0 70 | car
bus | 0 60 100 | car
train | 0 80 100 | car
motorcycle | 0 0 230 | bicycle
bicycle | 119 11 32 | bicycle
static | 110 190 160 | void
dynamic | 170 120 50 | void
other | 55 90 80 | void
water | 45 60 150 | water
road line | 157 234 50 | marking
ground | 81 0 81 | pavement
bridge | 150 100 100 | building
rail track | 230 150 140 | road
guard rail | 180 165 180 | fence
rock | 180 130 70 | rock
"""
